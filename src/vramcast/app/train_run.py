"""From a user's options and a framework's defaults to a training run, every silent choice written down."""

from enum import StrEnum
from typing import TypeVar

from vramcast.app.options import ADAPTING, Options, flag
from vramcast.catalog.number_formats import find_format
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Kernels,
    Loss,
    Method,
    Offload,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    TrainRun,
)
from vramcast.domain.stack import Stack

Word = TypeVar("Word", bound=StrEnum)
AMPERE = (8, 0)
BASE_FORMATS = ("nf4", "nf4-dq", "fp4", "fp4-dq", "int8")
SEQ_LEN = 2048
RANK = 16


class Chooser:
    """Takes the user's word where there is one, else the stack's, else the house's, and remembers which."""

    def __init__(self, options: Options, stack: Stack, method: Method) -> None:
        self.options = options
        self.stack = stack
        self.method = method
        self.assumed: list[Assumption] = []

    def framework(self, option: str, fallback: str) -> tuple[str, str]:
        """The framework's value for `option` with this method, and who says so."""
        value = self.stack.default(f"{self.method}.{option}") or self.stack.default(option)
        if value is None:
            return fallback, "house default"
        return value, f"default of {self.stack.name} {self.stack.version}"

    def word(self, option: str, kind: type[Word], fallback: Word) -> Word:
        """One word of `kind`."""
        given = self.options.word(option, kind)
        if given is not None:
            return given
        value, reason = self.framework(option, fallback)
        self.assume(option, value, reason)
        return kind(value)

    def count(self, option: str, default: int, reason: str = "house default") -> int:
        """A whole number."""
        if not self.options.gives(option):
            self.assume(option, str(default), reason)
        return self.options.count(option, default)

    def yes(self, option: str, *, fallback: bool) -> bool:
        """A choice that only the stack makes."""
        value, reason = self.framework(option, "yes" if fallback else "no")
        self.assume(option, value, reason)
        return value == "yes"

    def assume(self, option: str, value: str, reason: str) -> None:
        """Write down a silent choice."""
        self.assumed.append(Assumption(option=option, value=value, reason=reason))


def choose_train_run(
    options: Options, model: ModelSpec, stack: Stack, device: Device | None, method: Method, *, shaped: bool
) -> tuple[TrainRun, tuple[Assumption, ...]]:
    """
    The training run that `options` describe on `stack`, and what was assumed; `shaped`: the model's layers are known.

    Raises:
        InputError: an option has an impossible value, or two options contradict each other.
    """
    chooser = Chooser(options, stack, method)
    precision = _precision(chooser, model, device)
    half_weights = precision.weight_itemsize == 2
    run = TrainRun(
        method=method,
        precision=precision,
        optimizer=chooser.word("optimizer", Optimizer, Optimizer.ADAMW_FUSED),
        adapter=_adapter(chooser) if method is not Method.FULL and shaped else None,
        quantization=_quantization(chooser) if method is Method.QLORA else None,
        seq_len=chooser.count("seq_len", SEQ_LEN),
        micro_batch=chooser.count("micro_batch", 1),
        accum_steps=options.count("accum_steps", 1),
        recompute=chooser.word("recompute", Recompute, Recompute.NONE),
        reentrant=options.switch("reentrant"),
        attention=chooser.word("attention", AttentionKernel, AttentionKernel.SDPA),
        loss=chooser.word("loss", Loss, Loss.STOCK),
        kernels=chooser.word("kernels", Kernels, Kernels.EAGER),
        autocast=half_weights and not precision.has_master and chooser.yes("autocast", fallback=False),
        offload=options.word("offload", Offload) or Offload.NONE,
        evaluate=options.switch("evaluate"),
        save=options.switch("save"),
    )
    _check(options, run)
    return run, tuple(chooser.assumed)


def _precision(chooser: Chooser, model: ModelSpec, device: Device | None) -> Precision:
    given = chooser.options.word("precision", Precision)
    if given is not None:
        return given
    old = device is not None and device.capability is not None and device.capability < AMPERE
    framework, says = chooser.framework("precision", "")
    if framework and not old:
        value, reason = Precision(framework), says
    elif chooser.method is not Method.FULL:
        value = Precision.FP16 if old else Precision.BF16
        reason = f"{device.label} has no bf16" if old and device else "frozen weights in half precision"
    elif old and device:
        value, reason = Precision.AMP_FP16, f"{device.label} has no bf16; FP16 gradients need FP32 weights"
    elif model.dtype == "fp32":
        value, reason = Precision.AMP_BF16, "the checkpoint is FP32, and transformers 5 loads it as it is"
    else:
        value, reason = Precision.BF16, "transformers 5 loads the checkpoint's own half precision"
    chooser.assume("precision", value, reason)
    return value


def _adapter(chooser: Chooser) -> Adapter:
    options = chooser.options
    rank = chooser.count("lora_rank", RANK)
    names = options.names("lora_targets")
    if not options.gives("lora_targets"):
        names = ("all-linear",)
        chooser.assume("lora_targets", *names, "every linear layer, as arXiv:2305.14314 recommends")
    if not names:
        raise InputError("--lora-targets names nothing", "for example: all-linear, attention, mlp, q_proj,v_proj")
    return Adapter(
        rank=rank,
        targets=names,
        dropout=options.fraction("lora_dropout", 0.0),
        dora=options.switch("dora"),
        fp32=chooser.yes("adapter_fp32", fallback=True),
        modules_to_save=options.names("modules_to_save"),
    )


def _quantization(chooser: Chooser) -> Quantization:
    name = chooser.options.text("base_format")
    if name is None:
        name = "nf4-dq"
        chooser.assume("base_format", name, "NF4 with double quantisation, as arXiv:2305.14314")
    found = find_format(name)
    if found.name not in BASE_FORMATS:
        raise InputError(f"QLoRA's base cannot be {found.label}", f"--base-format one of: {', '.join(BASE_FORMATS)}")
    return Quantization(format=found, upcast=chooser.yes("kbit_upcast", fallback=False))


def _check(options: Options, run: TrainRun) -> None:
    if run.reentrant and run.recompute is not Recompute.FULL:
        raise InputError("--reentrant is a way to recompute whole blocks", "add --recompute full")
    adapting = [name for name in ADAPTING if options.gives(name) and (name != "dora" or options.switch(name))]
    if run.method is Method.FULL and adapting:
        raise InputError(f"{flag(adapting[0])} goes with --method lora or qlora", "add --method lora")
    if run.method is not Method.QLORA and options.gives("base_format"):
        raise InputError("--base-format goes with --method qlora", "add --method qlora")
    if run.method is not Method.FULL and run.precision.has_master:
        raise InputError(
            f"--precision {run.precision} keeps a master copy of trained weights, and {run.method} freezes them",
            "--precision bf16, or --method full",
        )
    if run.method is Method.QLORA and run.precision.weight_itemsize == 4:
        raise InputError("a quantised base is computed in half precision", "--precision bf16 or fp16")
