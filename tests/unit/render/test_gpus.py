"""Devices on the terminal and as JSON."""

import json

import pytest

from vramcast.catalog.gpus import all_devices, find_device
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.render.exactness import mark
from vramcast.render.gpus import device_page, devices_json, devices_table

DEVICES = all_devices()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """The table of all devices and every page stay within the width."""
    pages = [device_page(one, DEVICES[:9], width=width, color=False) for one in DEVICES]
    for text in (devices_table(DEVICES, width=width, color=False), *pages):
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_device_is_one_line_at_any_width(width: int) -> None:
    """Columns give way, rows don't wrap: name, memory and usable memory are always there."""
    lines = devices_table(DEVICES, width=width, color=False).splitlines()[2 : len(DEVICES) + 2]
    for one, line in zip(DEVICES, lines, strict=True):
        name, memory, usable = line.split()[:3]
        assert (name, int(memory)) == (one.name, one.memory // 2**30)
        assert float(usable.rstrip("~")) == pytest.approx(one.usable / 2**30, abs=0.006)


def test_the_table_says_what_it_left_out() -> None:
    """A dropped column is named; at full width none is."""
    narrow = devices_table(DEVICES, width=60, color=False)
    assert "Left out at this width: compute capability, context MiB, device." in narrow.replace(",\n", ", ")
    assert "Left out" not in devices_table(DEVICES, width=200, color=False)


def test_a_table_of_eighty_columns_holds_all_that_matters() -> None:
    """80 columns show memory, usable, bandwidth, BF16, capability and context of the longest name."""
    header = "\n".join(devices_table(DEVICES, width=80, color=False).splitlines()[:2])
    assert all(word in header for word in ("memory", "usable", "GB/s", "TFLOP/s", "capability", "context"))


def test_marks_say_how_far_to_trust_a_number() -> None:
    """Usable and context carry their exactness, none for a reading; the four marks differ."""
    lines = devices_table((find_device("h200"), find_device("h200-nvl"), find_device("mi300x")), width=80, color=False)
    measured, modelled, unknown = lines.splitlines()[2:5]
    assert measured.split()[2] == "139.80"
    assert measured.endswith("≈")
    assert modelled.split()[2] == "139.80~"
    assert unknown.endswith("?")
    assert len({mark(exactness) for exactness in Exactness}) == len(Exactness)


def test_colour_is_only_on_titles() -> None:
    """Without colour there is no escape sequence; with it, taking the sequences away gives the same text."""
    plain = devices_table(DEVICES, width=80, color=False)
    colored = devices_table(DEVICES, width=80, color=True)
    assert "\x1b" not in plain
    assert colored.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain


def test_a_page_shows_all_facts_and_kin() -> None:
    """Sources, exactness, every rate, and devices of similar name; what is not known is not shown."""
    page = device_page(find_device("a100"), (find_device("a100"), find_device("a100-pcie")), width=500, color=False)
    lines = dict(line.strip().split("  ", 1) for line in page.splitlines()[1:])
    facts = {label: text.strip() for label, text in lines.items()}
    assert facts["usable"].startswith("79.25 GiB (85,092,990,976 B), exact: CUDA total on Linux")
    assert facts["context"].startswith("420 MiB, fitted: ")
    assert facts["left for tensors"] == "78.84 GiB"
    assert facts["dense TFLOP/s"] == "fp32 19.5 · tf32 156.0 · fp16 312.0 · bf16 312.0 · int8 624.0"
    assert facts["source"] == "NVIDIA A100 datasheet"
    assert facts["see also"] == "a100-80gb-pcie"
    assert "note" not in facts
    assert "shared with the CPU" in device_page(find_device("gb10"), (), width=80, color=False)
    assert "dense TFLOP/s     not given" in device_page(find_device("rtx-4090-laptop"), (), width=80, color=False)


def test_json_gives_every_device_back() -> None:
    """The devices built from the JSON equal those that were written."""
    data = json.loads(devices_json(DEVICES))
    assert data["schema_version"] == 1
    assert tuple(map(device_of, data["devices"])) == DEVICES


def device_of(record: dict[str, object]) -> Device:
    """A device from its JSON record."""
    values = dict(record)
    for name, key in {
        "memory": "memory_bytes",
        "usable": "usable_bytes",
        "context": "context_bytes",
        "bandwidth": "bandwidth_bytes_per_second",
        "link": "link_bytes_per_second",
        "flops": "dense_flops_per_second",
    }.items():
        values[name] = values.pop(key)
    values["flops"] = tuple(values["flops"].items())
    values["aliases"] = tuple(values["aliases"])
    values["capability"] = tuple(values["capability"]) if values["capability"] else None
    values["usable_exactness"] = Exactness(values["usable_exactness"])
    values["context_exactness"] = Exactness(values["context_exactness"])
    return Device(**values)
