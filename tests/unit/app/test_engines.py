"""Which witness is asked, and what is said where the trace cannot be."""

import sys

import pytest

from vramcast.app.engines import engine_named
from vramcast.app.predict import predict
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Engine
from vramcast.sources.resolve import load_model
from vramcast.trace import INSTALL


def test_engines_by_name() -> None:
    """A word, or an engine itself."""
    assert engine_named("rules") is Engine.RULES
    assert engine_named("trace") is engine_named(Engine.TRACE) is Engine.TRACE


@pytest.mark.parametrize("word", ["", "Rules", "measure", "x" * 200])
def test_a_word_that_is_no_engine(word: str) -> None:
    """The answer is short and names those that there are."""
    with pytest.raises(InputError) as caught:
        engine_named(word)
    assert len(caught.value.what) < 80
    assert "rules, trace" in caught.value.hint


def test_without_a_word_the_rules_answer() -> None:
    """And the forecast says who answered."""
    assert predict("gpt2").engine is Engine.RULES


def test_without_torch_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace is an extra, and its absence is no traceback."""
    for loaded in [name for name in sys.modules if name.startswith("vramcast.trace.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as caught:
        predict("gpt2", engine="trace")
    assert caught.value.what == "the trace needs packages that are not installed: torch"
    assert caught.value.hint == INSTALL == "pip install 'vramcast[trace]'"


def test_sizes_alone_cannot_be_traced() -> None:
    """A model's code is built from its config, so its name is asked for."""
    with pytest.raises(InputError, match="config"):
        predict(load_model("gpt2"), engine="trace")
