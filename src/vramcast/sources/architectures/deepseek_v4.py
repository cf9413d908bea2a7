"""DeepSeek V4. Checked against transformers 5.23."""

from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.errors import InputError
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import rms, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.hyper_connections import block_mixers, head_mixer
from vramcast.sources.moe_common import further_tokens, gated, mixed_decoder, mixture, words_by_layer
from vramcast.sources.registry import reads

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
_BY_RATE = {0: SLIDING, 4: SPARSE, 128: HEAVY}
_RATES = {SPARSE: ("compress_rate_csa", 4), HEAVY: ("compress_rate_hca", 128)}


@reads("deepseek_v4")
def read_deepseek_v4(config: Config) -> ModelSpec:
    """
    A mixture in every layer; one key head, which is the value too; four residual streams.

    Sliding layers see a window alone, the others also a past that is pooled by 4 (and thinned by an indexer) or by 128.
    """
    hidden, streams = config.size("hidden_size"), config.size("hc_mult", default=4)
    width = config.size("moe_intermediate_size", "intermediate_size")
    ffn = mixture(
        config,
        experts=config.size("n_routed_experts", "num_local_experts"),
        top_k=config.size("num_experts_per_tok"),
        width=width,
        shared=gated(config, width, bias=config.flag("mlp_bias")),
    )
    norm, mixing = rms(hidden), block_mixers(hidden, streams, (2 + streams) * streams, 3)

    def build(word: str) -> Layer:
        return Layer(mixer=_attention(config, word), ffn=ffn, norms=(norm, norm), streams=streams, extra=mixing)

    tables = "the token tables of the first layers' routers (whole numbers, not parameters)"
    return mixed_decoder(
        config,
        _words(config),
        build,
        extra=head_mixer(hidden, streams),
        notes=(*further_tokens(config), tables),
    )


def _words(config: Config) -> tuple[str, ...]:
    depth, rates = config.size("num_hidden_layers"), config.sizes("compress_ratios")
    if rates and (len(rates) < depth or not _BY_RATE.keys() >= set(rates)):
        raise config.wrong(("compress_ratios",), f"0, 4 or 128 for each of {depth} layers", list(rates))

    def by_rate_or_in_turn(index: int) -> str:
        if rates:
            return _BY_RATE[rates[index]]
        return SPARSE if index > 1 and index % 2 else HEAVY

    return words_by_layer(config, "layer_types", (SLIDING, SPARSE, HEAVY), by_rate_or_in_turn, cut=True)


def _attention(config: Config, word: str) -> CompressedAttention:
    heads, width = config.size("num_attention_heads"), config.size("head_dim", default=512)
    rate = None if word == SLIDING else _rate(config, word)
    indexed = config.size("index_head_dim", default=128) if word == SPARSE else 0
    compressor: tuple[Weight, ...] = ()
    if rate:
        series = 2 if word == SPARSE else 1
        compressor = _compressor("compressor", width, series, rate, config.size("hidden_size"))
    if rate and indexed:
        compressor += _indexer(config, indexed, rate)
    return CompressedAttention(
        heads=heads,
        head_dim=width,
        window=sliding_window(config, 128) or 128,
        rate=rate,
        index_dim=indexed,
        parts=(*_projections(config, heads, width), *compressor),
    )


def _rate(config: Config, word: str) -> int:
    legacy, default = _RATES[word]
    table = config.part("compress_rates") or Config({}, config.name)
    return config.size(legacy, default=table.size(word, default=default))


def _projections(config: Config, heads: int, width: int) -> tuple[Weight, ...]:
    hidden, rank = config.size("hidden_size"), config.size("q_lora_rank")
    groups, out_rank = config.size("o_groups", default=8), config.size("o_lora_rank", default=1024)
    if heads * width % groups:
        raise InputError(f"{config.name}: {groups} output groups do not divide {heads} heads of {width}")
    return (
        *linear("q_a_proj", rank, hidden),
        Weight("q_a_norm", (rank,), WeightKind.NORM),
        *linear("q_b_proj", heads * width, rank),
        *linear("kv_proj", width, hidden),
        Weight("kv_norm", (width,), WeightKind.NORM),
        # block-diagonal, so a linear of a kind of its own, which quantisers do not replace
        Weight("o_a_proj", (groups * out_rank, heads * width // groups), WeightKind.OTHER),
        *linear("o_b_proj", hidden, groups * out_rank),
        Weight("sinks", (heads,), WeightKind.OTHER),
    )


def _compressor(name: str, width: int, series: int, rate: int, hidden: int) -> tuple[Weight, ...]:
    """What pools `rate` tokens to an entry of `width`; quantisers leave its two projections alone."""
    return (
        Weight(f"{name}.kv_proj", (series * width, hidden), WeightKind.OTHER),
        Weight(f"{name}.gate_proj", (series * width, hidden), WeightKind.OTHER),
        Weight(f"{name}.position_bias", (rate, series * width), WeightKind.OTHER),
        Weight(f"{name}.kv_norm", (width,), WeightKind.NORM),
    )


def _indexer(config: Config, width: int, rate: int) -> tuple[Weight, ...]:
    hidden, heads = config.size("hidden_size"), config.size("index_n_heads", default=64)
    return (
        *_compressor("indexer", width, 2, rate, hidden),
        *linear("indexer.q_b_proj", heads * width, config.size("q_lora_rank")),
        Weight("indexer.weights_proj", (heads, hidden), WeightKind.OTHER),
    )
