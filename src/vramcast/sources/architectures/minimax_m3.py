"""The text model of MiniMax-M3. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import (
    flags_by_layer,
    gated,
    head_normed,
    local_experts,
    mixed_decoder,
    sparse_layers,
    words_by_layer,
)
from vramcast.sources.registry import reads

_INDEXED, _FULL = "minimax_m3_sparse", "full_attention"


@reads("minimax_m3_vl_text")
def read_minimax_m3(config: Config) -> ModelSpec:
    """Query and key normalised by head, a fused shared expert; sparse layers have an indexer with a key of its own."""
    norm, table = rms(config.size("hidden_size")), config.part("sparse_attention_config") or Config({}, config.name)
    full = head_normed(grouped_query(config, kv_heads=4, head_dim=128))
    indexed = _with_indexer(config, table, full)
    shared = gated(config, config.size("shared_intermediate_size", default=3072), fused_gate_up=True)
    ffn = local_experts(config, experts=128, top_k=4, shared=shared)

    def build(kind: tuple[str, bool]) -> Layer:
        word, sparse = kind
        plain = gated(config, config.size("dense_intermediate_size", default=12288), fused_gate_up=True)
        return Layer(mixer=indexed if word == _INDEXED else full, ffn=ffn if sparse else plain, norms=(norm, norm))

    mixes = flags_by_layer(config, "moe_layer_freq", lambda _: True)
    listed = Config(
        {"sparse_attention_freq": table.raw("sparse_attention_freq"), "num_hidden_layers": len(mixes)}, config.name
    )
    indexes = flags_by_layer(listed, "sparse_attention_freq", lambda _: False)
    words = words_by_layer(
        config, "layer_types", (_INDEXED, _FULL), lambda index: _INDEXED if indexes[index] else _FULL
    )
    return mixed_decoder(config, zip(words, sparse_layers(config, lambda index: mixes[index]), strict=True), build)


def _with_indexer(config: Config, table: Config, mixer: Attention) -> Attention:
    hidden = config.size("hidden_size")
    width = table.size("sparse_index_dim", default=config.size("index_head_dim", default=128))
    heads = table.size("sparse_num_index_heads", default=config.size("index_n_heads", default=4))
    weights = (
        *linear("indexer.q_proj", heads * width, hidden),
        *linear("indexer.k_proj", width, hidden),
        Weight("indexer.norm", (width,), WeightKind.NORM, 2),
    )
    return replace(mixer, index_dim=width, extra=weights)
