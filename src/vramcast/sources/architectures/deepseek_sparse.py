"""
Latent attention that an indexer thins out. Checked against transformers 5.23.

DeepSeek V3.2, GLM-5, A.X K2, Hunyuan 4 and the text model of dots.note. The indexer keeps one key a token of its own.
"""

from dataclasses import replace

from vramcast.domain.attention import LatentAttention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import dense, rms
from vramcast.sources.config import Config
from vramcast.sources.hyper_connections import block_mixers, head_mixer
from vramcast.sources.moe_common import (
    after_first,
    deepseek_mixture,
    latent_attention,
    mixed_decoder,
    sparse_decoder,
    sparse_layers,
    words_by_layer,
)
from vramcast.sources.registry import reads


@reads("deepseek_v32")
def read_deepseek_v32(config: Config) -> ModelSpec:
    """DeepSeek V3 with an indexer in every layer."""
    mixer = with_indexer(config, _low_rank(config), heads=64)
    return sparse_decoder(config, mixer, deepseek_mixture(config), sparse_layers(config, after_first(config, 3)))


@reads("glm_moe_dsa")
def read_glm_moe_dsa(config: Config) -> ModelSpec:
    """The same, but a layer may share the choice that an earlier layer's indexer made, and has none then."""
    plain = _low_rank(config)
    own = with_indexer(config, plain, heads=32)
    mixers = tuple(own if word == "full" else plain for word in indexer_words(config))
    return sparse_decoder(config, mixers, deepseek_mixture(config), sparse_layers(config, after_first(config, 3)))


@reads("axk2")
def read_axk2(config: Config) -> ModelSpec:
    """One matrix makes query and output gate of both query latents; norms before attention and mixture are gated."""
    hidden, rank = config.size("hidden_size"), config.size("gated_norm_rank", default=16)
    norm, mixer = rms(hidden), _with_fused_gate(config)
    gate = (*linear("norm_gate.fc1", rank, hidden), *linear("norm_gate.fc2", hidden, rank))
    late, step = after_first(config, 1), config.size("moe_layer_freq", default=1)

    def build(sparse: bool) -> Layer:
        ffn = deepseek_mixture(config) if sparse else dense(config)
        return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm), extra=gate * 2 if sparse else gate)

    return mixed_decoder(config, sparse_layers(config, lambda index: late(index) and index % step == 0), build)


@reads("hy_v4")
def read_hunyuan4(config: Config) -> ModelSpec:
    """Sinks, an output gate, and residual streams that hyper-connections mix; indexers in one layer of four."""
    hidden, streams = config.size("hidden_size"), config.size("hc_mult", default=4)
    plain = _low_rank(config)
    gate = linear("gate_proj", plain.out_width, hidden)
    plain = replace(plain, extra=(*gate, Weight("sinks", (plain.heads,), WeightKind.OTHER)))
    own = with_indexer(config, plain, heads=16, kept=False)
    words = words_by_layer(
        config,
        "indexer_types",
        ("full", "shared"),
        lambda index: "full" if index == 0 or (index - 1) % 4 == 0 else "shared",
    )
    norm, mixing = rms(hidden), block_mixers(hidden, streams, 2 * streams, 2)

    def build(kind: tuple[str, bool]) -> Layer:
        word, sparse = kind
        return Layer(
            mixer=own if word == "full" else plain,
            ffn=deepseek_mixture(config) if sparse else dense(config),
            norms=(norm, norm),
            streams=streams,
            extra=mixing,
        )

    kinds = zip(words, sparse_layers(config, lambda index: index > 0), strict=True)
    return mixed_decoder(config, kinds, build, extra=head_mixer(hidden, streams))


def with_indexer(config: Config, mixer: LatentAttention, *, heads: int, kept: bool = True) -> LatentAttention:
    """`mixer` with DeepSeek's indexer; `heads` is the family's default, quantisers skip `weights_proj` if it is `kept`."""
    hidden, width = config.size("hidden_size"), config.size("index_head_dim", default=128)
    count = config.size("index_n_heads", default=heads)
    weights = (
        *linear("indexer.q_b_proj", count * width, mixer.q_rank or hidden),
        *linear("indexer.k_proj", width, hidden),
        Weight("indexer.k_norm", (width,), WeightKind.NORM, 2),
        Weight("indexer.weights_proj", (count, hidden), WeightKind.OTHER if kept else WeightKind.LINEAR),
    )
    return replace(mixer, index_dim=width, extra=(*mixer.extra, *weights))


def _low_rank(config: Config) -> LatentAttention:
    config.size("q_lora_rank")  # the indexer reads the query's latent, so there must be one
    return latent_attention(config)


def _with_fused_gate(config: Config) -> LatentAttention:
    whole = with_indexer(config, _low_rank(config), heads=16)
    fused = linear("q_gate_proj", whole.query_width + whole.out_width, 2 * config.size("q_lora_rank"))
    kept = (weight for weight in whole.weights(config.size("hidden_size")) if weight.name != "q_b_proj")
    return replace(whole, parts=(*fused, *kept))


def indexer_words(config: Config) -> tuple[str, ...]:
    """`full` for each layer with an indexer of its own, `shared` for one that uses an earlier layer's choice."""
    step = max(config.count("index_topk_freq", default=1), 1)
    skipped = config.count("index_skip_topk_offset", default=2)
    pattern = config.text("index_topk_pattern", default="")
    depth = config.size("num_hidden_layers")
    if pattern and (len(pattern) != depth or not set(pattern) <= set("FS")):
        raise config.wrong(("index_topk_pattern",), f"F or S for each of {depth} layers", pattern)

    def by_pattern_or_step(index: int) -> str:
        own = pattern[index] == "F" if pattern else max(index - skipped + 1, 0) % step == 0
        return "full" if own else "shared"

    return words_by_layer(config, "indexer_types", ("full", "shared"), by_pattern_or_step)
