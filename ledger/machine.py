"""The device and the software that a row was measured with, as the engines want them. No torch here."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from ledger.rows import Card
from vramcast.catalog.gpus import find_device, free_form_device
from vramcast.catalog.stacks import find_stack
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.stack import Stack
from vramcast.units import MIB

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
LAST_KEPT = (2, 14)  # torch's last version whose cuBLAS workspaces stay


def device_of(card: Card) -> Device:
    """The catalog's device of that name, or one of which no more is known than torch says."""
    try:
        device = find_device(card.name)
    except InputError:
        device = free_form_device(card.memory)
    return replace(
        device,
        capability=card.capability or device.capability,
        multiprocessors=card.multiprocessors or device.multiprocessors,
    )


def stack_of(name: str, versions: Mapping[str, str]) -> Stack:
    """The catalog's stack with the versions that really ran."""
    stack = find_stack(name)
    merged = dict(stack.versions) | dict(versions)
    major, minor, *_ = merged["torch"].split(".")
    return replace(stack, versions=tuple(merged.items()), kept_workspace=(int(major), int(minor)) <= LAST_KEPT)


def versions() -> dict[str, str]:
    """Of the packages that a step runs, those that are here."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def idle_bytes() -> int:
    """What others use of the device, asked without a context of one's own; 0 where nvidia-smi does not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    command = [program, "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    words = done.stdout.split()
    return int(words[0]) * MIB if words and words[0].isdigit() else 0
