"""Model types that no closed form will know, and why: they are not decoder-only language models."""

from vramcast.domain.errors import UnsupportedError
from vramcast.sources.config import Config
from vramcast.sources.shown import shown

ENCODER_DECODERS = frozenset(
    {
        "bart",
        "bigbird_pegasus",
        "blenderbot",
        "blenderbot-small",
        "encoder-decoder",
        "fsmt",
        "led",
        "longt5",
        "m2m_100",
        "marian",
        "mbart",
        "moonshine",
        "mt5",
        "musicgen",
        "mvp",
        "nllb-moe",
        "pegasus",
        "pegasus_x",
        "plbart",
        "prophetnet",
        "seamless_m4t",
        "seamless_m4t_v2",
        "speech-encoder-decoder",
        "speech_to_text",
        "switch_transformers",
        "t5",
        "t5gemma",
        "t5gemma2",
        "trocr",
        "udop",
        "umt5",
        "vision-encoder-decoder",
        "whisper",
    }
)
ENCODERS = frozenset(
    {
        "albert",
        "bert",
        "big_bird",
        "camembert",
        "canine",
        "clip",
        "clip_text_model",
        "convbert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "dinov2",
        "distilbert",
        "electra",
        "ernie",
        "esm",
        "eurobert",
        "flaubert",
        "fnet",
        "funnel",
        "layoutlm",
        "layoutlmv2",
        "layoutlmv3",
        "longformer",
        "luke",
        "megatron-bert",
        "mobilebert",
        "modernbert",
        "mpnet",
        "nomic_bert",
        "nystromformer",
        "perceiver",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "siglip",
        "siglip2",
        "squeezebert",
        "vit",
        "wav2vec2",
        "xlm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xlnet",
        "xmod",
        "yoso",
    }
)
_HINT = "only decoder-only language models are; a bare size such as 220M gives the terms that need no more"


def unsupported(config: Config) -> UnsupportedError:
    """The error for a model type without a reader: what kind of model it is, where that is known, and what to try."""
    kind = shown(config.model_type)
    if config.model_type in ENCODER_DECODERS or config.raw("is_encoder_decoder") is True:
        return UnsupportedError(f"{config.name}: {kind} is an encoder-decoder, which is not modelled", _HINT)
    if config.model_type in ENCODERS:
        return UnsupportedError(f"{config.name}: {kind} is an encoder, which is not modelled", _HINT)
    return UnsupportedError(
        f"{config.name}: no closed form for model type {kind}",
        "vramcast models --architectures lists the types that have one",
    )
