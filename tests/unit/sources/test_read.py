"""From a config to a reader: model types nobody reads, and models inside models."""

from typing import Any

import pytest

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.sources.read import read_config
from vramcast.sources.registry import readers
from vramcast.sources.unsupported import ENCODER_DECODERS, ENCODERS

GEMMA_3_4B: dict[str, Any] = {
    "model_type": "gemma3",
    "torch_dtype": "float16",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
}


def test_no_type_is_both_read_and_refused() -> None:
    """The table of encoders names none that has a reader."""
    assert not (ENCODERS | ENCODER_DECODERS) & readers().keys()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"model_type": "whisper"}, "encoder-decoder"),
        ({"model_type": "new", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "bert"}, "is an encoder,"),
        ({"model_type": "new"}, "no closed form for model type 'new'"),
        ({"model_type": "wrapper", "text_config": {"model_type": "bart"}}, "encoder-decoder"),
    ],
)
def test_models_that_are_not_modelled_say_what_they_are(config: dict[str, Any], said: str) -> None:
    """The error tells an encoder from an unknown name, and always says what to try."""
    with pytest.raises(UnsupportedError) as caught:
        read_config(config, "it")
    assert said in caught.value.what
    assert caught.value.hint


def test_nested_configs_leave_out_what_is_the_default() -> None:
    """Gemma 3 4B's own file names neither heads nor vocabulary."""
    model = read_config(GEMMA_3_4B, "gemma-3-4b")
    assert model.parameters == 3_880_263_168
    assert (model.vocab_size, model.dtype) == (262_208, "fp16")
    assert "'gemma3'" in model.notes[-1]


def test_a_config_that_stands_alone_has_to_say_its_sizes() -> None:
    """Defaults fill nested configs only: a bare file without sizes is more likely broken."""
    with pytest.raises(InputError, match="config has no `num_attention_heads`"):
        read_config(GEMMA_3_4B["text_config"], "bare")


def test_a_config_nested_in_itself_ends() -> None:
    """However deep the nesting, reading ends with an error."""
    config: dict[str, Any] = {"model_type": "llama"}
    for _ in range(500):
        config = {"model_type": "wrapper", "text_config": config}
    with pytest.raises(UnsupportedError):
        read_config(config, "deep")


def test_a_config_without_a_type_is_refused() -> None:
    """Nothing can be said about a config that does not name its architecture."""
    with pytest.raises(InputError, match="config has no `model_type`"):
        read_config({}, "nothing")
