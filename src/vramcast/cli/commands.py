"""The group of all commands. Names and one line of help stand here, so that neither needs a command's module."""

from importlib import import_module

import click

from vramcast.version import __version__

PROGRAM = "vramcast"
COMPLETION = "_VRAMCAST_COMPLETE"
COMMANDS = {
    "predict": "How much memory a run needs, and whether it fits.",
    "explain": "The derivation: every formula, with letters, with numbers, in bytes; and what would lower the need.",
    "methods": "Full training, LoRA and QLoRA side by side, against the rules of thumb.",
    "trace": "Your own training script, run without a GPU: what it would hold.",
    "compare": "What changed between two forecasts, term by term.",
    "models": "Well-known models: size, layers, cache.",
    "gpus": "Devices: memory as sold and as usable, speed, context.",
    "dtypes": "Number formats: their bits, their limits, and what they take in memory.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"vramcast.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(word, COMMANDS, n=1)
            meant = near[0] if near else f"predict {word}"
            raise click.UsageError(f"no command is called {word[:40]!r}; did you mean: {PROGRAM} {meant}?", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 answered (and fits, with --fits), 1 it does not fit, 2 bad input. --debug shows tracebacks.",
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def vramcast() -> None:
    """
    Forecasts the GPU memory that training or serving a language model needs, term by term.

    \b
    vramcast predict llama-3.1-8b --method qlora --gpu rtx-4090
    vramcast predict Qwen/Qwen3-8B --method serve --max-model-len 8192 --memory 24GiB
    vramcast explain llama-3.1-8b --method lora --seq-len 4096
    """
