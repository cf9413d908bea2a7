"""What a user may say about a run, each with its check."""

import pytest

from vramcast.app.options import ADAPTING, NAMES, SERVING, TRAINING, Options, flag
from vramcast.domain.errors import InputError
from vramcast.domain.run import Method


def test_an_unknown_name_is_refused_with_all_that_there_are() -> None:
    """The error shortens the name, and the hint lists the options."""
    with pytest.raises(InputError, match="no option is called 'sequence_length'") as caught:
        Options({"seq_len": 1, "sequence_length": 2})
    assert "seq_len" in caught.value.hint
    with pytest.raises(InputError) as caught:
        Options({"x" * 100: 1})
    assert len(caught.value.what) < 80


def test_every_option_has_one_place() -> None:
    """Training and serving share no option, and no name is listed twice."""
    assert len(set(NAMES)) == len(NAMES)
    assert not set(TRAINING) & set(SERVING)
    assert set(ADAPTING) <= set(TRAINING)


def test_none_is_not_given() -> None:
    """A flag that was left out comes as None."""
    options = Options({"seq_len": None, "micro_batch": 4, "dora": False})
    assert not options.gives("seq_len")
    assert options.gives("micro_batch")
    assert options.given() == ("micro_batch", "dora")
    assert options.text("seq_len") is None
    assert options.text("micro_batch") == "4"


@pytest.mark.parametrize(("value", "count"), [(1, 1), ("4096", 4096), (2**31, 2**31), (" 7 ", 7)])
def test_counts(value: object, count: int) -> None:
    """Whole numbers from 1 to 2³¹, as numbers or text."""
    assert Options({"seq_len": value}).count("seq_len", 5) == count


@pytest.mark.parametrize("value", [0, -1, 2**31 + 1, 1.5, "1.5", "many", "", True, float("nan"), [4], "1e3"])
def test_what_is_no_count(value: object) -> None:
    """The error names the flag as it is typed."""
    with pytest.raises(InputError, match=r"--seq-len must be a whole number from 1 to 2\^31"):
        Options({"seq_len": value}).count("seq_len", 5)


@pytest.mark.parametrize(("value", "fraction"), [(0, 0.0), (0.05, 0.05), ("0.5", 0.5), (0.999, 0.999)])
def test_fractions(value: object, fraction: float) -> None:
    """From 0 to below 1."""
    assert Options({"lora_dropout": value}).fraction("lora_dropout", 0.1) == fraction


@pytest.mark.parametrize("value", [1, -0.1, "nan", "inf", "half", float("nan")])
def test_what_is_no_fraction(value: object) -> None:
    """Dropping everything is no dropout."""
    with pytest.raises(InputError, match="--lora-dropout must be a number from 0 to below 1"):
        Options({"lora_dropout": value}).fraction("lora_dropout", 0.1)


def test_defaults_stand_in() -> None:
    """For what was not given."""
    options = Options({})
    assert (options.count("seq_len", 5), options.fraction("lora_dropout", 0.1)) == (5, 0.1)
    assert not options.switch("dora")
    assert options.word("method", Method) is None


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), ("true", True), ("Yes", True), ("1", True), (False, False), ("no", False), ("0", False)],
)
def test_switches(value: object, *, on: bool) -> None:
    """True and false, and the usual words for them."""
    assert Options({"dora": value}).switch("dora") is on


@pytest.mark.parametrize("value", ["maybe", 2, "", []])
def test_what_is_no_switch(value: object) -> None:
    """A misspelt yes is not a no."""
    with pytest.raises(InputError, match="--dora must be true or false"):
        Options({"dora": value}).switch("dora")


def test_words() -> None:
    """In any case; anything else is refused with the words that there are."""
    assert Options({"method": "QLoRA"}).word("method", Method) is Method.QLORA
    assert Options({"method": Method.LORA}).word("method", Method) is Method.LORA
    with pytest.raises(InputError, match="--method cannot be 'rlhf'") as caught:
        Options({"method": "rlhf"}).word("method", Method)
    assert caught.value.hint == "one of: full, lora, qlora"


def test_flags_are_spelt_with_dashes() -> None:
    """As the command line has them."""
    assert flag("max_model_len") == "--max-model-len"
