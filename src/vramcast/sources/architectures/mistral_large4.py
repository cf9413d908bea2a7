"""The text model of Mistral Large 4. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import LatentAttention
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind
from vramcast.sources.architectures.deepseek_sparse import indexer_words, with_indexer
from vramcast.sources.config import Config
from vramcast.sources.moe_common import after_first, deepseek_mixture, flags_by_layer, sparse_decoder, sparse_layers
from vramcast.sources.registry import reads


@reads("mistral_large4_text")
def read_mistral_large4(config: Config) -> ModelSpec:
    """
    Latent attention whose query has no low-rank path; every fourth layer does not turn query and key.

    A layer may read an earlier layer's latent, or use its indexer's choice. Logits are capped in FP32.
    """
    every = config.size("no_rope_layer_interval", default=4)
    kinds = zip(
        _sharing(config),
        flags_by_layer(config, "no_rope_layers", lambda index: (index + 1) % every != 0),
        indexer_words(config),
        strict=True,
    )
    mixers = tuple(_attention(config, shares, rotary, word == "full") for shares, rotary, word in kinds)
    uncapped = config.has("final_logit_softcapping") and config.raw("final_logit_softcapping") is None
    sparse = sparse_layers(config, after_first(config, 1))
    return sparse_decoder(config, mixers, deepseek_mixture(config), sparse, logits_capped=not uncapped)


def _sharing(config: Config) -> tuple[bool, ...]:
    """Which layers read the latent of an earlier one, which must have a latent of its own."""
    depth = config.size("num_hidden_layers")
    sources = config.sizes("kv_source_layers", default=tuple(range(depth)))
    if len(sources) != depth or any(at > index or sources[at] != at for index, at in enumerate(sources)):
        raise config.wrong(("kv_source_layers",), f"itself or an earlier layer for each of {depth}", list(sources))
    return tuple(at != index for index, at in enumerate(sources))


def _attention(config: Config, shares: bool, rotary: bool, indexed: bool) -> LatentAttention:
    heads, turned = config.size("num_attention_heads"), config.size("qk_rope_head_dim")
    mixer = LatentAttention(
        heads=heads,
        kv_rank=config.size("kv_lora_rank"),
        q_rank=None,
        nope_dim=config.size("qk_nope_head_dim") + (0 if rotary else turned),
        rope_dim=turned if rotary else 0,
        value_dim=config.size("v_head_dim"),
        bias=config.flag("attention_bias"),
        shares_kv=shares,
        extra=(_softmax_scaling(heads),),
    )
    if not indexed:
        return mixer
    mixer = with_indexer(config, mixer, heads=32)
    input_norm = Weight("indexer.q_input_norm", (config.size("hidden_size"),), WeightKind.NORM, 2)
    scaling = _softmax_scaling(config.size("index_n_heads", default=32))
    return replace(mixer, extra=(*mixer.extra, input_norm, scaling))


def _softmax_scaling(heads: int) -> Weight:
    return Weight("softmax_scaling", (heads,), WeightKind.OTHER, 2)
