"""From a user's options to a served model, every silent choice written down."""

from vramcast.app.options import SERVING, TRAINING, Options, flag
from vramcast.catalog.number_formats import find_format
from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.run import AttentionKernel, Cache, ServeRun
from vramcast.domain.stack import Stack

MAX_MODEL_LEN = 4096
HALF_BITS = 16


def choose_serve_run(options: Options, model: ModelSpec, stack: Stack) -> tuple[ServeRun, tuple[Assumption, ...]]:
    """
    The served model that `options` describe on `stack`, and what was assumed.

    Raises:
        InputError: an option has an impossible value, or belongs to training.
    """
    for name in TRAINING:
        if options.gives(name):
            raise InputError(
                f"{flag(name)} belongs to training, not to --method serve",
                f"for serving: {', '.join(map(flag, SERVING))}",
            )
    assumed: list[Assumption] = []
    weights = _weight_format(options, model, assumed)
    run = ServeRun(
        weight_format=weights,
        kv_format=_kv_format(options, model, assumed),
        max_model_len=_count(options, "max_model_len", MAX_MODEL_LEN, assumed),
        max_num_seqs=_count(options, "max_num_seqs", 1, assumed),
        prefill_tokens=options.count("prefill_tokens", 1) if options.gives("prefill_tokens") else None,
        attention=_attention(options, model, stack, assumed),
        cache=options.word("cache", Cache) or Cache.DYNAMIC,
    )
    if run.prefill_tokens is None and model.layers:
        text = f"{run.max_num_seqs * run.max_model_len}"
        assumed.append(
            Assumption(option="prefill_tokens", value=text, reason="all prompts at full length in one forward pass")
        )
    return run, tuple(assumed)


def _count(options: Options, name: str, default: int, assumed: list[Assumption]) -> int:
    if not options.gives(name):
        assumed.append(Assumption(option=name, value=str(default), reason="house default"))
    return options.count(name, default)


def _attention(options: Options, model: ModelSpec, stack: Stack, assumed: list[Assumption]) -> AttentionKernel:
    given = options.word("attention", AttentionKernel)
    if given is not None:
        return given
    value = stack.default("attention") or AttentionKernel.SDPA
    if any(isinstance(mixer, Attention | LatentAttention) for run in model.layers for mixer in run.layer.mixers):
        assumed.append(Assumption(option="attention", value=value, reason=f"default of {stack.name} {stack.version}"))
    return AttentionKernel(value)


def _weight_format(options: Options, model: ModelSpec, assumed: list[Assumption]) -> NumberFormat | None:
    name = options.text("weight_format")
    if name is not None:
        return find_format(name)
    if model.stored:
        assumed.append(Assumption(option="weight_format", value="as stored", reason="the checkpoint's own headers"))
        return None
    own = model.quantized or model.dtype
    assumed.append(Assumption(option="weight_format", value=own, reason="the checkpoint's own format"))
    return find_format(own)


def _kv_format(options: Options, model: ModelSpec, assumed: list[Assumption]) -> NumberFormat:
    name = options.text("kv_format")
    if name is not None:
        return find_format(name)
    own = find_format(model.dtype)
    kept = own if own.bits_per_value >= HALF_BITS else find_format("bf16")
    assumed.append(Assumption(option="kv_format", value=kept.name, reason="the format that the model computes in"))
    return kept
