"""Layers in words."""

import pytest

from vramcast.app.models import list_models
from vramcast.render.layers import layer_lines


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("llama-3.1-8b", ["32 × attention, 32 heads, 8 KV heads, head dim 128; gated MLP of 14,336"]),
        ("gpt2", ["12 × attention, 12 heads, head dim 64; MLP of 3,072"]),
        (
            "gemma-3-1b",
            [
                "22 × attention over 512 tokens, 4 heads, 1 KV head, head dim 256; gated MLP of 6,912",
                "4 × attention, 4 heads, 1 KV head, head dim 256; gated MLP of 6,912",
            ],
        ),
        (
            "deepseek-v2-lite",
            [
                "1 × latent attention, 16 heads, cache of 512 + 64; gated MLP of 10,944",
                "26 × latent attention, 16 heads, cache of 512 + 64; mixture of 64 experts of 1,408, 6 for each token, and a shared one of 2,816",
            ],
        ),
        ("mamba-130m", ["24 × mamba, 1,536 channels, state 16"]),
        (
            "lfm2-350m",
            [
                "10 × short convolution, 1,024 channels; gated MLP of 4,608",
                "6 × attention, 16 heads, 8 KV heads, head dim 64; gated MLP of 4,608",
            ],
        ),
        (
            "zamba2-1.2b",
            [
                "38 × mamba2, 4,096 channels, state 128",
                "1 × attention, 32 heads, head dim 128; gated MLP of 8,192",
                "5 × attention, 32 heads, head dim 128; gated MLP of 8,192 (weights of an earlier layer)",
            ],
        ),
    ],
)
def test_equal_layers_stand_together(name: str, lines: list[str]) -> None:
    """Each kind of layer once, with its count, in the order of first appearance."""
    assert layer_lines(list_models(name).models[0].model) == lines


def test_every_layer_of_the_catalog_has_words() -> None:
    """Counts add up to the model's layers, and no kind is left without a description."""
    for one in list_models(None).models:
        lines = layer_lines(one.model)
        assert sum(int(line.split(" × ")[0]) for line in lines) == one.model.num_layers
        assert all(line.split(" × ")[1] for line in lines)
