"""EXAONE 3, 3.5 and 4, dense. EXAONE 4 checked against transformers 5.23, 3 against its published code."""

from dataclasses import replace

from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, dense, grouped_query, rms, runs_of, sliding_layers, sliding_window
from vramcast.sources.config import Config
from vramcast.sources.registry import reads


@reads("exaone")
def read_exaone(config: Config) -> ModelSpec:
    """Llama under other names (`c_fc_0`, `c_fc_1`, `c_proj`)."""
    config = config.renamed(num_hidden_layers="num_layers", hidden_act="activation_function")
    layer = Layer(mixer=grouped_query(config), ffn=dense(config), norms=(rms(config.size("hidden_size")),) * 2)
    dropout = Dropout(embedding=config.probability("embed_dropout"), attention=config.probability("attention_dropout"))
    return decoder(config, layer, tied=True, dropout=dropout, logits_upcast=True)


@reads("exaone4")
def read_exaone4(config: Config) -> ModelSpec:
    """
    Norms after each part, an RMS norm on each query and key head, three sliding layers to one full.

    Where layers slide, only those have rotary embeddings.
    """
    window = sliding_window(config, 4096)
    pattern = _pattern(config)
    slides = sliding_layers(config, lambda index: window is not None and pattern[index % len(pattern)] == "L")
    ffn = dense(config)
    norms = (rms(config.size("hidden_size")),) * 2

    def layer(slide: bool) -> Layer:
        attention = grouped_query(config, kv_heads=32, window=window if slide else None)
        rotary = slide or window is None
        return Layer(
            mixer=replace(attention, rotary=rotary, qk_norms=(rms(attention.head_dim),) * 2), ffn=ffn, norms=norms
        )

    return decoder(config, runs_of(slides, layer))


def _pattern(config: Config) -> str:
    """`LLLG` as the config spells it, or from the number of layers in which one is global."""
    key = "sliding_window_pattern"
    if not isinstance(config.raw(key), str):
        return "L" * (config.size(key, default=4) - 1) + "G"
    pattern = config.text(key)
    if not pattern or set(pattern) - set("LG"):
        raise config.wrong((key,), "letters L and G, or a number", pattern)
    return pattern
