"""The commands worth typing after an answer, with the user's own arguments filled in."""

from typing import TYPE_CHECKING

import click

from vramcast.cli.options import run_words_of, typed
from vramcast.cli.progress import shown_progress
from vramcast.domain.forecast import Engine, Forecast
from vramcast.render.headline import need_words
from vramcast.render.terminal import NextStep

if TYPE_CHECKING:
    from vramcast.app.single_changes import SingleChange

MOST = 3
PREDICT, EXPLAIN = ("vramcast predict",), ("vramcast explain",)


def next_steps(context: click.Context, forecast: Forecast) -> list[NextStep]:
    """Where it does not fit, or only just: single changes that help. Else a device to ask about, or the derivation."""
    if forecast.verdict is None:
        question = NextStep(
            (*PREDICT, *typed(context), "--gpu rtx-4090"), "does it fit? vramcast gpus lists the devices"
        )
        return [question, _explain(context)]
    if forecast.verdict.status == "fits":
        return [_explain(context)]
    from vramcast.app.single_changes import single_changes

    changes = single_changes(forecast, context.params["stack"], run_words_of(context.params))
    return [*(_change(context, change) for change in _answered(context, forecast, changes[:MOST])), _explain(context)]


def lower(context: click.Context, forecast: Forecast) -> list[tuple[str, Forecast]]:
    """Every single change that lowers the need, as flags with the forecast that follows, by the engine that answered."""
    from vramcast.app.single_changes import single_changes, traced_changes

    model, stack, words = context.params["model"], context.params["stack"], run_words_of(context.params)
    if forecast.engine is Engine.RULES:
        changes = single_changes(forecast, stack, words)
    else:
        with shown_progress(f"tracing what would lower it for {model}") as progress:
            changes = traced_changes(model, forecast, stack, words, progress)
    return [(_flag(change), change.forecast) for change in changes]


def _answered(
    context: click.Context, forecast: Forecast, changes: "tuple[SingleChange, ...]"
) -> "tuple[SingleChange, ...]":
    """The changes as the engine that answered sees them: rules pick them, the trace tries them."""
    if forecast.engine is Engine.RULES:
        return changes
    from vramcast.app.single_changes import retraced

    model, stack = context.params["model"], context.params["stack"]
    with shown_progress(f"tracing what would lower it for {model}"):
        return tuple(retraced(model, change, stack, run_words_of(context.params)) for change in changes)


def _explain(context: click.Context) -> NextStep:
    return NextStep((*EXPLAIN, *typed(context)), "every formula, with letters and with numbers")


def _change(context: click.Context, change: "SingleChange") -> NextStep:
    return NextStep(
        (*PREDICT, *typed(context, **{change.option: change.value})),
        f"{_flag(change)}: {need_words(change.forecast)}",
    )


def _flag(change: "SingleChange") -> str:
    return f"--{change.option.replace('_', '-')} {change.value}"
