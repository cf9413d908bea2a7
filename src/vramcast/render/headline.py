"""The two lines that lead every form of an answer: the verdict, and what was asked."""

from collections.abc import Callable

from vramcast.domain.forecast import Forecast
from vramcast.domain.program import Answer
from vramcast.domain.run import Recompute, ServeRun, TrainRun
from vramcast.render.numbers import short_count
from vramcast.render.style import english
from vramcast.units import GIB, gib

_NEAR = GIB // 10


def verdict_words(forecast: Answer) -> tuple[str, str]:
    """
    The verdict, and the sentence that goes on from it: sizes are of the process tier, in brackets its low and high end.

    Such as `fits` and ` NVIDIA GeForce RTX 4090: needs 7.3 GiB (7.3–7.4), 16.2 GiB of 23.5 to spare`.
    """
    verdict, device = forecast.verdict, forecast.device
    digits = 1 if verdict is None or abs(verdict.headroom) >= _NEAR else 2
    needs = f"needs {_needed(forecast, digits)}"
    if verdict is None or device is None:
        return "", needs
    left, capacity = gib(abs(verdict.headroom), digits), gib(verdict.capacity, digits)
    match verdict.status:
        case "fits":
            return "fits", f" {device.label}: {needs}, {left} GiB of {capacity} to spare"
        case "tight":
            return "tight", f" on {device.label}: {needs}, {left} GiB of {capacity} to spare"
        case "does not fit":
            return "does not fit", f" {device.label}: {needs}, {left} GiB more than its {capacity}"


def need_words(forecast: Forecast) -> str:
    """What a changed run needs, in a few words: `needs 17.3 GiB, fits`."""
    verdict = forecast.verdict
    needs = f"needs {gib(forecast.tiers.process, 1)} GiB"
    if verdict is None:
        return needs
    return f"{needs}, {verdict.status if verdict.fits else f'still {gib(-verdict.headroom, 1)} GiB too much'}"


def question(forecast: Forecast, say: Callable[[str], str] = english) -> str:
    """What was asked, in one line: model, method, batch, stack."""
    model, run = forecast.model, forecast.run
    name = model.name if model.bare_parameters is not None else f"{model.name}, {short_count(model.parameters)}"
    asked = _served(run, say) if isinstance(run, ServeRun) else _trained(run, say)
    return " · ".join((name, *asked, f"{forecast.stack.name} {forecast.stack.version}"))


def _needed(forecast: Answer, digits: int) -> str:
    tiers = forecast.tiers
    if tiers.process < GIB:
        digits = 2
    low, high = gib(tiers.low, digits), gib(tiers.high, digits)
    band = f" ({low}–{high})" if low != high else ""
    return f"{gib(tiers.process, digits)} GiB{band}"


def _trained(run: TrainRun, say: Callable[[str], str]) -> list[str]:
    method = say(f"{run.method} rank {run.adapter.rank}" if run.adapter else run.method.value)
    formats = (run.quantization.format.name, run.precision) if run.quantization else (run.precision,)
    pieces = [", ".join((method, *formats)), run.optimizer.value, say(f"{run.micro_batch} × {run.seq_len:,} tokens")]
    if run.recompute is not Recompute.NONE:
        pieces.append(say(f"recompute {run.recompute}"))
    return pieces


def _served(run: ServeRun, say: Callable[[str], str]) -> list[str]:
    weights = f"weights in {run.weight_format.name}" if run.weight_format else "weights as stored"
    tokens = f"{run.max_num_seqs} × {run.max_model_len:,} tokens"
    return [say("serve"), say(weights), say(f"cache in {run.kv_format.name}"), say(tokens)]
