"""MiniMax-Text-01: lightning attention and softmax attention in turn, a mixture everywhere. Checked: transformers 5.23."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import linear
from vramcast.sources.common import grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, block_kinds, scale


@reads("minimax")
def read_minimax(config: Config) -> ModelSpec:
    """Softmax attention in every block with an even index by default; the config's lists say otherwise."""
    kinds = block_kinds(config, ("layer_types",), (RECURRENT, FULL), lambda index: RECURRENT if index % 2 else FULL)
    norm = rms(config.size("hidden_size"))
    ffn = mixture(
        config,
        experts=config.size("num_local_experts", "num_experts", default=8),
        top_k=config.size("num_experts_per_tok", default=2),
        width=config.size("intermediate_size"),
    )

    def layer(kind: str) -> Layer:
        mixer = grouped_query(config, kv_heads=8) if kind == FULL else _lightning(config)
        return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))

    return mixed_decoder(config, kinds, layer)


def _lightning(config: Config) -> LinearAttention:
    """Linear attention with a fixed decay for each head, worked on block by block; its state has the model's format."""
    hidden = config.size("hidden_size")
    like = grouped_query(config, kv_heads=8)
    width = like.query_width
    parts = (
        *linear("qkv_proj", 3 * width, hidden),
        *linear("output_gate", width, hidden),
        scale("norm", width),
        *linear("out_proj", hidden, width),
    )
    return LinearAttention(
        variant=LinearKind.LIGHTNING,
        heads=like.heads,
        key_dim=like.head_dim,
        value_dim=like.head_dim,
        chunk=config.size("block_size", default=256),
        state_fp32=False,
        parts=parts,
    )
