"""A traced program's account: for human eyes, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from vramcast.domain.program import ProgramAccount
from vramcast.render.bar import bar_lines
from vramcast.render.modules import modules_lines
from vramcast.render.style import Style
from vramcast.render.terminal import tiers_lines, verdict_lines
from vramcast.render.width import wrap

SCHEMA_VERSION = 1
MOST_NOTES = 16


def program_text(account: ProgramAccount, style: Style | None = None) -> str:
    """The whole account, verdict first, in lines that fit the width."""
    style = style or Style()
    parts = (
        [*verdict_lines(account, style), style.dim(style.say(_question(account)))],
        bar_lines(account, style),
        modules_lines(account, style),
        tiers_lines(account, style),
        _notes("patched, and used", account.patched, style),
        _notes("not followed: a real run may differ", account.not_followed, style),
    )
    return style.finish([line for part in parts if part for line in ("", *part)][1:])


def program_json(account: ProgramAccount, *, ascii_only: bool = False) -> str:
    """The same in bytes."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "device": account.device.name if account.device else None,
        "steps": account.steps,
        "tiers": asdict(account.tiers),
        "verdict": asdict(account.verdict) if account.verdict else None,
        "categories": account.by_category(),
        "modules": account.by_module(),
        "peak": account.peak.name,
        "moments": [{"name": one.name, "phase": one.phase, "allocated": one.allocated} for one in account.moments],
        "patched": account.patched,
        "not_followed": account.not_followed,
    }
    return json.dumps(record, indent=2, ensure_ascii=ascii_only)


def _question(account: ProgramAccount) -> str:
    steps = "1 optimizer step" if account.steps == 1 else f"{account.steps} optimizer steps"
    return f"traced: {steps}" if account.steps else "traced: no optimizer step"


def _notes(title: str, notes: Sequence[str], style: Style) -> list[str]:
    """One entry a note; of many the first, and how many more there are."""
    if not notes:
        return []
    shown = list(notes[:MOST_NOTES])
    if len(notes) > MOST_NOTES:
        shown.append(f"and {len(notes) - MOST_NOTES} more")
    lines = (line for note in shown for line in wrap(style.say(note), style.width, first="  - ", rest="    "))
    return [style.bold(style.say(title)), *lines]
