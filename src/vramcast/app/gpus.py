"""Devices: all, those that a word or a size picks, or one by name."""

import re
from dataclasses import dataclass

from vramcast.catalog.gpus import all_devices, find_device, is_device, plain_name
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.units import format_bytes, parse_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`devices` that were asked for; `named` is the one whose name was given, `devices` then holds its kin too."""

    devices: tuple[Device, ...]
    named: Device | None = None


def list_devices(word: str | None, min_memory: str | None) -> Listing:
    """
    The devices whose name, alias or label holds `word`, with at least `min_memory` (such as `24GiB`) as sold.

    A `word` that is a device's name picks this one, unless a size is given too.

    Raises:
        InputError: no device is left, or `min_memory` is not a size.
    """
    devices = _matching(word) if word else all_devices()
    if min_memory is None:
        return Listing(devices=devices, named=find_device(word) if word and is_device(word) else None)
    least = _size(min_memory)
    large = tuple(one for one in devices if one.memory >= least)
    if not large:
        most = max(devices, key=lambda one: one.memory)
        raise InputError(f"no such device has {format_bytes(least)}", f"{most.name} has {format_bytes(most.memory)}")
    return Listing(devices=large)


def _matching(word: str) -> tuple[Device, ...]:
    part = plain_name(word)
    found = tuple(one for one in all_devices() if part and any(part in name for name in _names(one)))
    return found or (find_device(word),)


def _names(one: Device) -> tuple[str, ...]:
    label = re.sub(r"[\s_-]+", "", one.label.lower())
    return (label, *(plain_name(name) for name in (one.name, *one.aliases)))


def _size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InputError(str(error), "write it as 24GiB") from error
