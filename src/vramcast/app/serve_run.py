"""From a user's options to a served model, every silent choice written down."""

from vramcast.app.options import Options
from vramcast.catalog.number_formats import find_format
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import NumberFormat
from vramcast.domain.run import AttentionKernel, ServeRun

MAX_MODEL_LEN = 4096
HALF_BITS = 16


def choose_serve_run(options: Options, model: ModelSpec) -> tuple[ServeRun, tuple[Assumption, ...]]:
    """
    The served model that `options` describe, and what was assumed.

    Raises:
        InputError: an option has an impossible value, or belongs to training.
    """
    for name in ("optimizer", "lora_rank", "lora_targets", "recompute", "loss", "precision", "micro_batch", "seq_len"):
        if options.gives(name):
            raise InputError(
                f"--{name.replace('_', '-')} belongs to training, not to --method serve",
                "for serving: --max-model-len, --max-num-seqs, --weight-format, --kv-format",
            )
    assumed: list[Assumption] = []
    weights = _weight_format(options, model, assumed)
    run = ServeRun(
        weight_format=weights,
        kv_format=_kv_format(options, model, assumed),
        max_model_len=_count(options, "max_model_len", MAX_MODEL_LEN, assumed),
        max_num_seqs=_count(options, "max_num_seqs", 1, assumed),
        prefill_tokens=options.count("prefill_tokens", 1) if options.gives("prefill_tokens") else None,
        attention=options.word("attention", AttentionKernel) or AttentionKernel.SDPA,
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
