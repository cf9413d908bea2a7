"""`vramcast trace`."""

import click

from vramcast.app.trace_script import trace_script
from vramcast.cli.options import memory_size
from vramcast.cli.output import style
from vramcast.cli.terminal import needs_ascii
from vramcast.domain.errors import InputError, VramcastError
from vramcast.domain.program import ProgramAccount
from vramcast.render.program import program_json, program_text

STEPS = 3


@click.command()
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")
@click.option("--gpu", metavar="NAME", help="The device, as vramcast gpus lists it.")
@click.option("--memory", metavar="SIZE", help="A device of this much memory instead, such as 24GiB.")
@click.option("--steps", type=int, default=STEPS, show_default=True, metavar="N", help="Stop after N optimizer steps.")
@click.option("--fits", is_flag=True, help="Exit with 1 if it does not fit; needs --gpu or --memory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def trace(
    context: click.Context,
    script: str,
    arguments: tuple[str, ...],
    *,
    gpu: str | None,
    memory: str | None,
    steps: int,
    fits: bool,
    as_json: bool,
) -> None:
    """
    Your own training script, run without a GPU: what it would hold.

    SCRIPT is run as `python SCRIPT ARGUMENTS` would run it, with a device that stores nothing in place of CUDA. What it
    prints goes to stderr. Tensors have shapes and no values, so a decision that hangs on one is listed as not followed.

    \b
    vramcast trace train.py --gpu rtx-4090 -- --batch-size 8
    """
    if fits and not (gpu or memory):
        raise InputError("--fits needs a device", "--gpu NAME or --memory 24GiB")
    size = memory_size(memory) if memory else None
    account = _traced(script, arguments, gpu, size, steps)
    click.echo(program_json(account, ascii_only=needs_ascii()) if as_json else program_text(account, style()))
    if fits and account.verdict and not account.verdict.fits:
        context.exit(1)


def _traced(script: str, arguments: tuple[str, ...], gpu: str | None, memory: int | None, steps: int) -> ProgramAccount:
    try:
        return trace_script(script, arguments, device=gpu, memory=memory, steps=steps)
    except VramcastError as error:
        for frames in getattr(error, "__notes__", ()):
            click.echo(frames, err=True)
        raise
