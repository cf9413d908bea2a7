"""The devices, by name: memory, speed and where each figure comes from."""

import re
from functools import cache
from typing import Any

from vramcast.catalog.data_file import read_rows
from vramcast.catalog.device_memory import (
    CONTEXT_RULE,
    PLANNED_CONTEXT,
    PLANNED_CONTEXT_RULE,
    USABLE_RULE,
    cuda_context_bytes,
    reserve_bytes,
)
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.exactness import Exactness
from vramcast.units import MIB, format_bytes

_MAKERS = re.compile(r"^((nvidia|geforce|tesla|amd|instinct|radeon)-)+")
_SUFFIXES = re.compile(r"(-(gpu|generation|edition))+$")


@cache
def all_devices() -> tuple[Device, ...]:
    """Every device: NVIDIA cards from old to new, workstation and data centre after GeForce, then AMD."""
    return tuple(_device(row) for row in read_rows("gpus.json"))


def find_device(name: str) -> Device:
    """
    The device of this name or alias, also as nvidia-smi and torch spell it.

    Case, spaces, `-`, `_` and makers' names in front (`NVIDIA GeForce RTX 4090`) do not matter. A bare name that several
    devices share (`a100`) is the commonest of them; its label says which.

    Raises:
        InputError: no device goes by this name.
    """
    found = _by_name().get(plain_name(name))
    if found is None:
        raise InputError(f"no device is called {name[:40]!r}", _hint(name[:40]))
    return found


def is_device(name: str) -> bool:
    """Whether a device goes by this name or alias."""
    return plain_name(name) in _by_name()


def free_form_device(memory: int) -> Device:
    """A device of which only the memory is known: all of `memory` is usable, the context is a planning number."""
    size = format_bytes(memory)
    return Device(
        name=size.replace(" ", ""),
        label=f"a device with {size}",
        vendor="",
        memory=memory,
        usable=memory,
        usable_exactness=Exactness.EXACT,
        usable_source="as asked",
        context=PLANNED_CONTEXT,
        context_exactness=Exactness.MODELLED,
        context_source="a planning number for a device of unknown kind",
        source="as asked",
    )


def plain_name(name: str) -> str:
    """`name` without makers, suffixes, case and separators: what two spellings of one device have in common."""
    dashed = re.sub(r"[\s_-]+", "-", name.strip().lower())
    return _SUFFIXES.sub("", _MAKERS.sub("", dashed)).replace("-", "")


@cache
def _by_name() -> dict[str, Device]:
    return {plain_name(word): one for one in all_devices() for word in (one.name, *one.aliases)}


def _hint(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(plain_name(name), _by_name(), n=3)
    names = list(dict.fromkeys(_by_name()[word].name for word in near))
    return f"did you mean {' or '.join(names)}?" if names else "vramcast gpus lists them"


def _device(row: dict[str, Any]) -> Device:
    capability = tuple(row["capability"]) if "capability" in row else None
    return Device(
        name=row["key"],
        label=row["label"],
        vendor=row["vendor"],
        memory=row["memory_bytes"],
        **_usable(row),
        **_context(row, capability),
        capability=capability,
        multiprocessors=row.get("multiprocessors"),
        bandwidth=row.get("bandwidth"),
        link=row.get("link"),
        link_kind=row.get("link_kind", ""),
        flops=tuple(row.get("flops", {}).items()),
        unified=row.get("unified", False),
        aliases=tuple(row["aliases"]),
        note=row.get("note", ""),
        source=row["source"],
        checked=row["checked"],
    )


def _usable(row: dict[str, Any]) -> dict[str, Any]:
    """The reading where one is published; else what the driver leaves of nvidia-smi's total or of the memory."""
    if "usable_bytes" in row:
        size, exactness, source = row["usable_bytes"], row.get("usable_exactness", "exact"), row["usable_source"]
    else:
        reserve, shown = reserve_bytes(row["vendor"]), row.get("nvidia_smi_bytes")
        size = (shown or row["memory_bytes"]) - reserve
        total = f"the {shown // MIB} MiB that nvidia-smi shows" if shown else "memory as sold"
        exactness, source = "modelled", USABLE_RULE.format(total, reserve // MIB)
    return {"usable": size, "usable_exactness": Exactness(exactness), "usable_source": source}


def _context(row: dict[str, Any], capability: tuple[int, int] | None) -> dict[str, Any]:
    """The measurement where one is published; else the rule for CUDA; else a planning number that nobody measured."""
    if "context_bytes" in row:
        size, exactness, source = row["context_bytes"], Exactness.FITTED, row["context_source"]
    elif capability:
        size = cuda_context_bytes(capability, row["multiprocessors"])
        exactness, source = Exactness.MODELLED, CONTEXT_RULE
    else:
        size, exactness, source = PLANNED_CONTEXT, Exactness.UNKNOWN, PLANNED_CONTEXT_RULE
    return {"context": size, "context_exactness": exactness, "context_source": source}
