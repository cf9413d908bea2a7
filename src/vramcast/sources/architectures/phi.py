"""Phi 1–4 (dense). Checked against transformers 5.23."""

from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import (
    decoder,
    dense,
    grouped_query,
    hidden_over_heads,
    layer_norm,
    rms,
    sliding_window,
)
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("phi")
def read_phi(config: Config) -> ModelSpec:
    """Parallel blocks behind one layer norm, biases everywhere, the output head included."""
    norms = (layer_norm(hidden_over_heads(config)),) * 2 if config.flag("qk_layernorm") else ()
    layer = Layer(
        mixer=grouped_query(config, qkv_bias=True, out_bias=True, qk_norms=norms),
        ffn=dense(config, activation="gelu_new", gated=False, bias=True),
        norms=(layer_norm(config.size("hidden_size")),),
        parallel=True,
    )
    return decoder(config, layer, head_bias=True, dropout=_dropout(config, embedding=True))


@reads("phi3")
def read_phi3(config: Config) -> ModelSpec:
    """One matrix makes query, key and value, another gate and up (Phi-3, Phi-3.5, Phi-4)."""
    layer = Layer(
        mixer=grouped_query(config, fused_qkv=True, window=sliding_window(config)),
        ffn=dense(config, fused_gate_up=True),
        norms=(rms(config.size("hidden_size")),) * 2,
    )
    return decoder(config, layer, dropout=_dropout(config, embedding=False))


def _dropout(config: Config, *, embedding: bool) -> Dropout:
    return Dropout(
        embedding=config.probability("embd_pdrop") if embedding else 0.0,
        attention=config.probability("attention_dropout"),
        residual=config.probability("resid_pdrop"),
    )
