"""The language part of Llama 3.2 Vision. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.domain.norm import Norm
from vramcast.domain.weights import Weight, WeightKind
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of
from vramcast.sources.config import Config
from vramcast.sources.registry import reads

_CROSS_LAYERS = (3, 8, 13, 18, 23, 28, 33, 38)
_IMAGE_TOKENS = 8  # rows of the token table beyond the vocabulary


@reads("mllama_text_model")
def read_mllama_text(config: Config) -> ModelSpec:
    """
    Llama 3.1 with cross-attention layers between, which text alone passes by: they are weights without a mixer.

    Raises:
        InputError: every layer is a cross-attention layer.
    """
    hidden, count = config.size("hidden_size"), config.size("num_hidden_layers")
    attention = grouped_query(config, kv_heads=8)
    ffn = dense(config)
    norms = (rms(hidden),) * 2
    plain = Layer(mixer=attention, ffn=ffn, norms=norms)
    skipped = Layer(mixer=None, ffn=None, norms=(), extra=_cross_weights(hidden, attention, ffn, norms))
    cross = set(config.sizes("cross_attention_layers", default=_CROSS_LAYERS))
    if cross >= set(range(count)):
        raise InputError(f"{config.name}: `cross_attention_layers` leaves no layer for text")
    return decoder(
        config,
        runs_of((index in cross for index in range(count)), lambda is_cross: skipped if is_cross else plain),
        final_norm=rms(hidden),
        logits_upcast=True,
        dropout=Dropout(attention=config.probability("dropout")),
        extra=(Weight("embed_tokens.image", (_IMAGE_TOKENS, hidden), WeightKind.EMBEDDING),),
        notes=("what the cross-attention layers add when images come in",),
    )


def _cross_weights(hidden: int, attention: Attention, ffn: Dense, norms: tuple[Norm, ...]) -> tuple[Weight, ...]:
    head_norms = (rms(attention.head_dim),) * 2
    gates = (
        Weight("cross_attn_attn_gate", (1,), WeightKind.OTHER),
        Weight("cross_attn_mlp_gate", (1,), WeightKind.OTHER),
    )
    norm_weights = (weight for norm in (*head_norms, *norms) for weight in norm.weights)
    return (*attention.weights(hidden), *ffn.weights(hidden), *norm_weights, *gates)
