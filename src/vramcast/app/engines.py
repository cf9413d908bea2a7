"""Which witness answers: closed forms at once, or the real code on a device that stores nothing."""

from collections.abc import Callable

from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Assumption, Engine, Forecast
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import Run
from vramcast.domain.stack import Stack
from vramcast.trace import missing

Progress = Callable[[str], None]


def engine_named(word: str | Engine) -> Engine:
    """
    The engine that `word` means.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return Engine(word)
    except ValueError:
        raise InputError(f"--engine cannot be {str(word)[:40]!r}", f"one of: {', '.join(Engine)}") from None


def traced(
    name: str,
    model: ModelSpec,
    run: Run,
    stack: Stack,
    device: Device | None,
    assumptions: tuple[Assumption, ...],
    *,
    offline: bool = False,
    progress: Progress | None = None,
) -> Forecast:
    """
    The trace's forecast of the model called `name`.

    Raises:
        InputError: the `trace` extra is not installed, or `name` has no config to build a model from.
        UnsupportedError: transformers does not know the model, or the trace not the run.
    """
    from vramcast.sources.raw_config import raw_config
    from vramcast.trace.quiet import quiet

    with quiet():
        try:
            from vramcast.trace.forecast import forecast, trace_run
        except ModuleNotFoundError as error:
            raise missing(error) from error
        config = raw_config(name, offline=offline)
        found = trace_run(config, run, stack, device, progress=progress)
    if not model.layers:
        model = bare_model(model.name, found.parameters, dtype=model.dtype)
    return forecast(model, found, run, stack, device, assumptions)
