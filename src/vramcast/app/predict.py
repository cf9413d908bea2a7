"""The use case everything else builds on: from words to a forecast."""

from vramcast.app.engines import Progress, engine_named, traced
from vramcast.app.options import SERVING, Options, flag
from vramcast.app.serve_run import choose_serve_run
from vramcast.app.train_run import choose_train_run
from vramcast.app.unmodelled import unmodelled
from vramcast.catalog.gpus import find_device, free_form_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Assumption, Engine, Forecast
from vramcast.domain.model import ModelSpec, bare_model
from vramcast.domain.run import Method, Run, ServeRun
from vramcast.domain.stack import Stack
from vramcast.rules.forecast import finish
from vramcast.rules.serving import serving
from vramcast.rules.train_step import train_step
from vramcast.sources.raw_config import dtype_of, raw_config
from vramcast.sources.resolve import load_model
from vramcast.units import parse_bytes

SERVE = "serve"
TRAINING_STACK = "trl-sft"
SERVING_STACK = "transformers"


def predict(
    model: str | ModelSpec,
    run: Run | None = None,
    device: str | Device | None = None,
    *,
    stack: str | Stack | None = None,
    offline: bool = False,
    engine: str | Engine = Engine.RULES,
    progress: Progress | None = None,
    **options: object,
) -> Forecast:
    """
    Forecast the memory of training or serving `model`.

    Args:
        model: a catalog name, a path, a hub id, a size such as `8B`, or a ModelSpec.
        run: a TrainRun or ServeRun; None: chosen from `options` and the stack's defaults.
        device: a device's name or a Device; None: no verdict.
        stack: a framework whose defaults apply, `name` or `name@version`.
        offline: keep a hub id to the local cache.
        engine: `rules`, closed forms, or `trace`, the real code on a device that stores nothing (the `trace` extra).
        progress: called with each phase as the trace enters it.
        options: what the command line takes as flags, spelt with underscores (`seq_len=4096`, `method="qlora"`).

    Raises:
        InputError: something is misspelt, missing or impossible.
        UnsupportedError: no closed form knows the model or the run.
    """
    witness = engine_named(engine)
    chosen = Options(options)
    spec = _model(model, witness, offline=offline) if isinstance(model, str) else model
    card = _device(device, chosen)
    serves = isinstance(run, ServeRun) if run is not None else chosen.text("method") == SERVE
    software = _stack(stack, serves=serves)
    assumptions: tuple[Assumption, ...] = ()
    if run is None:
        run, assumptions = _choose(chosen, spec, software, card, witness)
        if stack is None:
            named = Assumption(option="stack", value=f"{software.name}@{software.version}", reason="house default")
            assumptions = (named, *assumptions)
    elif set(chosen.given()) - {"memory"}:
        raise InputError("give either a run or options, not both")
    if witness is Engine.RULES:
        return _forecast(spec, run, software, card, assumptions)
    if not isinstance(model, str):
        raise InputError(
            "a trace needs the model's config, not its sizes alone", "give its name, folder or config.json"
        )
    return traced(model, spec, run, software, card, assumptions, offline=offline, progress=progress)


def _model(name: str, witness: Engine, *, offline: bool) -> ModelSpec:
    """The model; for the trace, which builds it from its config, also one that no closed form knows."""
    try:
        return load_model(name, offline=offline)
    except UnsupportedError:
        if witness is Engine.RULES:
            raise
        dtype = dtype_of(raw_config(name, offline=offline))
        return bare_model(name, 0, dtype=dtype)


def _device(device: str | Device | None, options: Options) -> Device | None:
    memory = options.text("memory")
    if memory is None:
        return find_device(device) if isinstance(device, str) else device
    if device is not None:
        raise InputError("--gpu and --memory are two answers to one question", "give one of them")
    try:
        return free_form_device(parse_bytes(memory))
    except ValueError as error:
        raise InputError(f"--memory: {error}", "write it as 24GiB") from error


def _stack(stack: str | Stack | None, *, serves: bool) -> Stack:
    if isinstance(stack, Stack):
        return stack
    return find_stack(stack or (SERVING_STACK if serves else TRAINING_STACK))


def _choose(
    options: Options, model: ModelSpec, stack: Stack, device: Device | None, witness: Engine
) -> tuple[Run, tuple[Assumption, ...]]:
    if options.text("method") == SERVE:
        return choose_serve_run(options, model, stack)
    for name in SERVING:
        if options.gives(name):
            raise InputError(f"{flag(name)} goes with --method serve", "add --method serve")
    method = _method(options)
    shaped = bool(model.layers) or witness is Engine.TRACE
    run, assumptions = choose_train_run(options, model, stack, device, method, shaped=shaped)
    if options.gives("method"):
        return run, assumptions
    return run, (Assumption(option="method", value=method, reason="house default"), *assumptions)


def _method(options: Options) -> Method:
    word = options.text("method")
    if word is not None and word not in tuple(Method):
        raise InputError(f"--method cannot be {word[:40]!r}", f"one of: {', '.join(Method)}, {SERVE}")
    return Method(word) if word else Method.QLORA


def _forecast(
    model: ModelSpec, run: Run, stack: Stack, device: Device | None, assumptions: tuple[Assumption, ...]
) -> Forecast:
    left_out = unmodelled(model, run)
    if isinstance(run, ServeRun):
        served = serving(model, run, stack, device)
        return finish(
            model,
            run,
            stack,
            device,
            instants=served.instants,
            no_reuse=served.no_reuse,
            assumptions=assumptions,
            unmodelled=left_out,
        )
    step = train_step(model, run, stack, device)
    return finish(
        model,
        run,
        stack,
        device,
        instants=step.instants,
        paged=step.paged,
        no_reuse=step.no_reuse,
        assumptions=assumptions,
        unmodelled=left_out,
    )
