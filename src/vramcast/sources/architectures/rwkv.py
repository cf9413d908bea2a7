"""RWKV 4. Checked against transformers 5.23."""

from vramcast.domain.feed_forward import Dense
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention, LinearKind
from vramcast.domain.weights import linear
from vramcast.sources.common import decoder, layer_norm
from vramcast.sources.config import Config
from vramcast.sources.registry import reads
from vramcast.sources.state_space import bare


@reads("rwkv")
def read_rwkv(config: Config) -> ModelSpec:
    """A recurrence over single channels, and an MLP whose output a gate scales; both mix in the token before."""
    hidden = config.size("hidden_size")
    norm = layer_norm(hidden)
    ffn = Dense(
        width=config.size("intermediate_size", default=4 * hidden),
        gated=False,
        activation="relu2",
        extra=(
            *linear("receptance", hidden, hidden),
            bare("time_mix_key", 1, 1, hidden),
            bare("time_mix_receptance", 1, 1, hidden),
        ),
    )
    return decoder(
        config,
        Layer(mixer=_recurrence(config), ffn=ffn, norms=(norm, norm)),
        embedding_norm=norm,
        max_positions=config.size("context_length", "max_position_embeddings", default=1024),
        notes=("what RWKV's gate on the MLP, and its mixing with the token before, keep for backward",),
    )


def _recurrence(config: Config) -> LinearAttention:
    """Three FP32 numbers of state for each channel; mixer and MLP each keep the token before."""
    hidden = config.size("hidden_size")
    width = config.size("attention_hidden_size", default=hidden)
    parts = (
        bare("time_decay", width),
        bare("time_first", width),
        *(bare(f"time_mix_{name}", 1, 1, hidden) for name in ("key", "value", "receptance")),
        *(weight for name in ("key", "value", "receptance") for weight in linear(name, width, hidden)),
        *linear("output", hidden, width),
    )
    return LinearAttention(
        variant=LinearKind.RWKV,
        heads=width,
        key_dim=1,
        value_dim=1,
        conv_width=2 * hidden,
        tail=1,
        parts=parts,
    )
