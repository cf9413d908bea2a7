"""
What a text model inside a multimodal config has where the file is silent.

transformers saves nested configs as differences from their class, so that Gemma 3's file says neither how many heads
its text model has nor how many words it knows. A config that stands alone has to say so itself.

Source: the configuration classes of transformers 5.23. Checked: 2026-11-24.
"""


def _sizes(hidden: int, width: int | None, layers: int, heads: int, vocabulary: int) -> dict[str, int]:
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
    }
    return sizes | {"intermediate_size": width} if width else sizes


NESTED_DEFAULTS: dict[str, dict[str, int]] = {
    "llama": _sizes(4096, 11_008, 32, 32, 32_000),
    "mistral": _sizes(4096, 14_336, 32, 32, 32_000),
    "gemma": _sizes(3072, 24_576, 28, 16, 256_000),
    "gemma2": _sizes(2304, 9216, 26, 8, 256_000),
    "gemma3_text": _sizes(2304, 9216, 26, 8, 262_208),
    "gemma3n_text": _sizes(2048, 16_384, 35, 8, 262_400),
    "gemma4_text": _sizes(2304, 9216, 30, 8, 262_144),
    "gemma4_unified_text": _sizes(2304, 9216, 30, 8, 262_144),
    "qwen2": _sizes(4096, 22_016, 32, 32, 151_936),
    "qwen3": _sizes(4096, 22_016, 32, 32, 151_936),
    "qwen2_vl_text": _sizes(8192, 29_568, 80, 64, 152_064),
    "qwen2_5_vl_text": _sizes(8192, 29_568, 80, 64, 152_064),
    "qwen3_vl_text": _sizes(4096, 22_016, 32, 32, 151_936),
    "glm4v_text": _sizes(4096, 13_696, 40, 32, 151_552),
    "cohere2": _sizes(8192, 22_528, 40, 64, 256_000),
    "granite": _sizes(4096, 11_008, 32, 32, 32_000),
    "exaone4": _sizes(4096, 16_384, 32, 32, 102_400),
    "hyperclovax": _sizes(4096, 11_008, 32, 32, 32_000),
    "mllama_text_model": _sizes(4096, 14_336, 40, 32, 128_256),
    "opt": _sizes(768, None, 12, 12, 50_272),
    "persimmon": _sizes(4096, 16_384, 36, 64, 262_144),
    "phi3": _sizes(3072, 8192, 32, 32, 32_064),
}
