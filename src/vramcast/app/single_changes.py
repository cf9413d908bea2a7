"""What to change when a run does not fit: one option at a time, each tried."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vramcast.app.engines import Progress
from vramcast.app.predict import predict
from vramcast.domain.device import Device
from vramcast.domain.errors import VramcastError
from vramcast.domain.forecast import Engine, Forecast
from vramcast.domain.run import AttentionKernel, Loss, Method, Precision, Recompute, Run, ServeRun, TrainRun
from vramcast.domain.stack import Stack

SHORTEST = 512
PREFILL = 2048
WORTH_IT = 0.98
FOUR_BITS = 4.5  # with an FP32 scale for every 64 values, as bitsandbytes stores them
CHUNKED_BY = "trl-sft"  # other frameworks reach the same with a fused kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleChange:
    """One option set to another value, and the forecast that follows."""

    option: str
    value: str
    forecast: Forecast

    @property
    def fits(self) -> bool:
        """Whether the changed run fits its device."""
        return self.forecast.verdict is not None and self.forecast.verdict.fits


def single_changes(forecast: Forecast, stack: str | None, options: dict[str, object]) -> tuple[SingleChange, ...]:
    """
    Changes of one option that lower the need of `forecast`, which `options` and `stack` gave, by at least 2 %, by rules.

    First those with which the run fits, the gentlest first (what changes no result before what changes the batch, before
    what changes the method); then the rest, the one that saves most first.
    """

    def answer(changed: dict[str, object]) -> Forecast:
        return predict(forecast.model, None, forecast.device, stack=stack, **changed)  # type: ignore[arg-type]

    return _lower(forecast, options, answer)


def traced_changes(
    name: str, forecast: Forecast, stack: str | None, options: dict[str, object], progress: Progress | None = None
) -> tuple[SingleChange, ...]:
    """The same of the model called `name`, each change run by the trace; `progress` hears which."""

    def answer(changed: dict[str, object]) -> Forecast:
        if progress:
            progress(", ".join(f"{key} {value}" for key, value in changed.items() if options.get(key) != value))
        return _traced(name, forecast.device, stack, changed)

    return _lower(forecast, options, answer)


def retraced(name: str, change: SingleChange, stack: str | None, options: dict[str, object]) -> SingleChange:
    """
    The same change of the model called `name`, answered by the trace instead of by rules.

    Raises:
        InputError, UnsupportedError: as `predict`.
    """
    changed = {**_without_memory(options), change.option: change.value}
    return replace(change, forecast=_traced(name, change.forecast.device, stack, changed))


def _traced(name: str, device: Device | None, stack: str | None, options: dict[str, object]) -> Forecast:
    return predict(name, None, device, stack=stack, engine=Engine.TRACE, **options)  # type: ignore[arg-type]


def _lower(
    forecast: Forecast, options: dict[str, object], answer: Callable[[dict[str, object]], Forecast]
) -> tuple[SingleChange, ...]:
    found = [
        SingleChange(option=option, value=value, forecast=changed)
        for option, value in _candidates(forecast.run, forecast.stack)
        if (changed := _try(answer, {**_without_memory(options), option: value}))
        and changed.tiers.process <= WORTH_IT * forecast.tiers.process
    ]
    others = sorted((one for one in found if not one.fits), key=lambda one: one.forecast.tiers.process)
    return (*(one for one in found if one.fits), *others)


def _try(answer: Callable[[dict[str, object]], Forecast], options: dict[str, object]) -> Forecast | None:
    try:
        return answer(options)
    except VramcastError:  # the change contradicts another option of the user's
        return None


def _without_memory(options: dict[str, object]) -> dict[str, object]:
    """The device is known already."""
    return {name: value for name, value in options.items() if name != "memory"}


def _candidates(run: Run, stack: Stack) -> Iterator[tuple[str, str]]:
    if isinstance(run, ServeRun):
        yield from _serving(run)
    else:
        yield from _training(run, stack)


def _training(run: TrainRun, stack: Stack) -> Iterator[tuple[str, str]]:
    if run.attention in (AttentionKernel.EAGER, AttentionKernel.MATH):
        yield "attention", AttentionKernel.SDPA
    if run.loss is Loss.STOCK:
        yield "loss", Loss.CHUNKED if stack.name == CHUNKED_BY else Loss.FUSED_LINEAR
    if run.recompute is not Recompute.FULL:
        yield "recompute", Recompute.FULL
    if "8bit" not in run.optimizer and run.optimizer.startswith(("adamw", "paged")):
        yield "optimizer", "adamw-8bit"
    if run.precision in (Precision.AMP_BF16, Precision.FP32):
        yield "precision", Precision.BF16
    if run.micro_batch > 1:
        yield "micro_batch", str(run.micro_batch // 2)
    yield from _method(run)
    if run.seq_len >= 2 * SHORTEST:
        yield "seq_len", str(run.seq_len // 2)


def _method(run: TrainRun) -> Iterator[tuple[str, str]]:
    match run.method:
        case Method.FULL:
            yield "method", Method.LORA
            yield "method", Method.QLORA
        case Method.LORA:
            yield "method", Method.QLORA
        case Method.QLORA if run.quantization is not None and run.quantization.format.bits_per_value > FOUR_BITS:
            yield "base_format", "nf4-dq"


def _serving(run: ServeRun) -> Iterator[tuple[str, str]]:
    if (run.prefill_tokens or run.max_num_seqs * run.max_model_len) > PREFILL:
        yield "prefill_tokens", str(PREFILL)
    if run.kv_format.bits_per_value > 8:
        yield "kv_format", "fp8-e4m3"
    if run.max_num_seqs > 1:
        yield "max_num_seqs", str(run.max_num_seqs // 2)
    if run.weight_format is not None and run.weight_format.bits_per_value > 8:
        yield "weight_format", "int8"
        yield "weight_format", "nf4"
    if run.max_model_len >= 2 * SHORTEST:
        yield "max_model_len", str(run.max_model_len // 2)
