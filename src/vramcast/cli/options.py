"""The flags that describe a run, shared by the commands that take one."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import click

from vramcast.app.options import NAMES
from vramcast.app.predict import predict
from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Forecast
from vramcast.domain.run import AttentionKernel, Cache, Kernels, Loss, Method, Offload, Optimizer, Precision, Recompute
from vramcast.units import parse_bytes

F = TypeVar("F", bound=Callable[..., Any])
COUNT = "N"
TOKENS = "T"


class RunOption(click.Option):
    """A flag that describes the run; `section` is the heading it stands under in the help."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class RunCommand(click.Command):
    """A command that takes a run: its help has the flags under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                section = parameter.section if isinstance(parameter, RunOption) else "Output"
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def _flag(section: str, name: str, metavar: str, text: str) -> Callable[[F], F]:
    return click.option(f"--{name}", cls=RunOption, section=section, metavar=metavar, help=text)


def _one_of(section: str, name: str, kind: type[StrEnum], text: str, *more: str) -> Callable[[F], F]:
    return _flag(section, name, "NAME", f"{text}: {', '.join((*kind, *more))}.")


def _switch(section: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(f"--{name}", cls=RunOption, section=section, is_flag=True, help=text)


def engine_options(command: F) -> F:
    """`--engine` and `--exact`, as a decorator."""
    text = "Who answers: rules (closed forms) or trace (the real code on a device that stores nothing)."
    exact = click.option("--exact", cls=RunOption, section=RUN, is_flag=True, help="Short for --engine trace.")
    return click.option("--engine", cls=RunOption, section=RUN, metavar="NAME", help=text)(exact(command))


RUN, TRAIN, ADAPT, SERVE = "The run", "Training", "LoRA and QLoRA", "Serving (--method serve)"
FLAGS: dict[str, Callable[[Any], Any]] = {
    "method": _one_of(RUN, "method", Method, "What to do", "serve"),
    "gpu": _flag(RUN, "gpu", "NAME", "The device, as vramcast gpus lists it."),
    "memory": _flag(RUN, "memory", "SIZE", "A device of this much memory instead, such as 24GiB."),
    "stack": _flag(RUN, "stack", "NAME", "The framework whose defaults apply: trl-sft, hf-trainer, torch."),
    "attention": _one_of(RUN, "attention", AttentionKernel, "Attention kernel"),
    "offline": _switch(RUN, "offline", "Read hub models from the local cache only."),
    "seq-len": _flag(TRAIN, "seq-len", TOKENS, "Tokens of one sequence."),
    "micro-batch": _flag(TRAIN, "micro-batch", COUNT, "Sequences of one forward pass."),
    "accum-steps": _flag(TRAIN, "accum-steps", COUNT, "Micro-batches summed before a step."),
    "precision": _one_of(TRAIN, "precision", Precision, "Number formats of weights, gradients, compute"),
    "optimizer": _one_of(TRAIN, "optimizer", Optimizer, "Update rule and implementation"),
    "recompute": _one_of(TRAIN, "recompute", Recompute, "Activation checkpointing"),
    "reentrant": _switch(TRAIN, "reentrant", "The older implementation of checkpointing (use_reentrant=True)."),
    "loss": _one_of(TRAIN, "loss", Loss, "How logits become a loss"),
    "kernels": _one_of(TRAIN, "kernels", Kernels, "Norms and MLP, in eager mode or fused (Liger)"),
    "offload": _one_of(TRAIN, "offload", Offload, "What leaves the device between uses"),
    "evaluate": _switch(
        TRAIN, "evaluate", "Then a forward pass without gradients that keeps its logits; needs --exact."
    ),
    "save": _switch(TRAIN, "save", "Then the state dict, gathered on the host; needs --exact."),
    "lora-rank": _flag(ADAPT, "lora-rank", "R", "Rank of the adapters."),
    "lora-targets": _flag(ADAPT, "lora-targets", "NAMES", "all-linear, attention, mlp, or q_proj,v_proj,…"),
    "lora-dropout": _flag(ADAPT, "lora-dropout", "P", "Dropout before the adapters."),
    "dora": _switch(ADAPT, "dora", "Adapters with magnitudes (DoRA)."),
    "modules-to-save": _flag(
        ADAPT,
        "modules-to-save",
        "NAMES",
        "Modules of which a copy is trained whole: embed_tokens,lm_head; needs --exact",
    ),
    "base-format": _flag(
        ADAPT, "base-format", "NAME", "How QLoRA stores the frozen weights: nf4-dq, nf4, fp4-dq, fp4, int8."
    ),
    "max-model-len": _flag(SERVE, "max-model-len", TOKENS, "Tokens of one sequence, prompt and answer."),
    "max-num-seqs": _flag(SERVE, "max-num-seqs", COUNT, "Sequences held at once."),
    "prefill-tokens": _flag(SERVE, "prefill-tokens", TOKENS, "Most tokens of one forward pass."),
    "weight-format": _flag(
        SERVE, "weight-format", "NAME", "Number format of the weights, as vramcast dtypes lists it."
    ),
    "kv-format": _flag(SERVE, "kv-format", "NAME", "Number format of the key and value cache."),
    "cache": _one_of(SERVE, "cache", Cache, "Grown token by token, or at full length from the start (with --exact)"),
}
lang_option = click.option("--lang", type=click.Choice(("en", "zh")), default="en", help="English or Chinese.")
RUN_WORDS = frozenset(NAMES)


def options_named(*names: str) -> Callable[[F], F]:
    """MODEL and these flags, as a decorator."""

    def add(command: F) -> F:
        for name in reversed(names):
            command = FLAGS[name](command)
        return click.argument("model")(command)

    return add


run_options = options_named(*FLAGS)


def forecast_of(model: str, options: Mapping[str, Any]) -> Forecast:
    """
    The forecast that a command's parameters ask for.

    Raises:
        InputError, UnsupportedError: as `predict`.
    """
    from vramcast.cli.progress import shown_progress

    engine = _engine(options)
    words = run_words_of(options)
    with shown_progress(f"tracing {model}" if engine == "trace" else "") as progress:
        return predict(
            model,
            None,
            options["gpu"],
            stack=options["stack"],
            offline=options["offline"],
            engine=engine,
            progress=progress,
            **words,
        )


def _engine(options: Mapping[str, Any]) -> str:
    named = options.get("engine")
    if options.get("exact"):
        if named not in (None, "trace"):
            raise InputError(f"--exact is not --engine {named[:40]}", "give one of them")
        return "trace"
    return named or "rules"


def run_words_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the user said of the run itself, `--memory` in bytes."""
    given = {name: value for name, value in options.items() if name in RUN_WORDS and value not in (None, False)}
    if "memory" in given:
        given["memory"] = memory_size(given["memory"])
    return given


def memory_size(text: str) -> int:
    """
    Bytes of `--memory`.

    Raises:
        InputError: not a size.
    """
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InputError(f"--memory: {error}", "write it as 24GiB") from error


def typed(context: click.Context, **changes: str) -> tuple[str, ...]:
    """MODEL and the flags of the run as the user gave them, in pieces, with some values changed or added."""
    pieces = [shlex.quote(context.params["model"])]
    for parameter in context.command.params:
        if isinstance(parameter, RunOption) and parameter.name:
            pieces += _piece(parameter, changes.get(parameter.name, context.params[parameter.name]))
    return tuple(pieces)


def _piece(parameter: RunOption, value: object) -> Iterable[str]:
    if value is True:
        return (parameter.opts[0],)
    return (f"{parameter.opts[0]} {shlex.quote(str(value))}",) if value else ()
