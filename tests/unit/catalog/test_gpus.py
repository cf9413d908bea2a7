"""The catalog of devices: names, memory, speed, sources."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramcast.catalog.device_memory import cuda_context_bytes
from vramcast.catalog.gpus import all_devices, find_device, free_form_device, is_device, plain_name
from vramcast.domain.device import Device
from vramcast.domain.errors import InputError
from vramcast.domain.exactness import Exactness
from vramcast.units import GIB, MIB

DEVICES = all_devices()
CUDA = [one for one in DEVICES if one.capability]
each_device = pytest.mark.parametrize("one", DEVICES, ids=lambda one: one.name)

AS_PRINTED = {  # by torch.cuda.get_device_name or nvidia-smi -L
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "NVIDIA GeForce RTX 4070 Ti SUPER": "rtx-4070-ti-super",
    "NVIDIA GeForce RTX 3080 Laptop GPU": "rtx-3080-laptop-16gb",
    "NVIDIA TITAN RTX": "titan-rtx",
    "Quadro RTX 8000": "quadro-rtx-8000",
    "NVIDIA RTX A6000": "rtx-a6000",
    "NVIDIA RTX 6000 Ada Generation": "rtx-6000-ada",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "rtx-pro-6000",
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": "rtx-pro-6000-max-q",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000-server",
    "Tesla P100-PCIE-16GB": "p100-16gb-pcie",
    "Tesla V100-SXM2-16GB": "v100-16gb-sxm2",
    "Tesla V100-PCIE-32GB": "v100-32gb-pcie",
    "Tesla T4": "t4",
    "NVIDIA A10G": "a10g",
    "NVIDIA A100-SXM4-40GB": "a100-40gb-sxm",
    "NVIDIA A100-PCIE-40GB": "a100-40gb-pcie",
    "NVIDIA A100-SXM4-80GB": "a100-80gb-sxm",
    "NVIDIA A100 80GB PCIe": "a100-80gb-pcie",
    "NVIDIA L40S": "l40s",
    "NVIDIA H100 80GB HBM3": "h100-80gb-sxm",
    "NVIDIA H100 PCIe": "h100-80gb-pcie",
    "NVIDIA H100 NVL": "h100-94gb-nvl",
    "NVIDIA H200": "h200-141gb-sxm",
    "NVIDIA GH200 480GB": "gh200-96gb",
    "NVIDIA GH200 144G HBM3e": "gh200-144gb",
    "NVIDIA B200": "b200",
    "NVIDIA B300 SXM6 AC": "b300",
    "NVIDIA GB10": "gb10",
    "AMD Instinct MI300X": "mi300x",
    "AMD Radeon RX 7900 XTX": "rx-7900-xtx",
}
SHARED = {
    "a100": "a100-80gb-sxm",
    "A100-80GB": "a100-80gb-sxm",
    "a100-40gb": "a100-40gb-sxm",
    "h100": "h100-80gb-sxm",
    "h200": "h200-141gb-sxm",
    "v100": "v100-16gb-sxm2",
    "4090": "rtx-4090",
    "RTX 4090": "rtx-4090",
    "rtx4090": "rtx-4090",
    "rtx_3090_ti": "rtx-3090-ti",
    "dgx spark": "gb10",
}


def test_there_are_enough_devices() -> None:
    """At least 75 rows, of both makers."""
    assert len(DEVICES) >= 75
    assert {one.vendor for one in DEVICES} == {"NVIDIA", "AMD"}


@pytest.mark.parametrize(("printed", "name"), {**AS_PRINTED, **SHARED}.items())
def test_names_as_printed_and_short_names_find_their_device(printed: str, name: str) -> None:
    """What torch and nvidia-smi print, and what people type, leads to one row."""
    assert find_device(printed).name == name
    assert is_device(printed)


def test_no_word_means_two_devices() -> None:
    """Names and aliases are unique once case, separators and makers are gone; so are labels."""
    words = [plain_name(word) for one in DEVICES for word in (one.name, *one.aliases)]
    assert len(words) == len(set(words))
    assert len({one.label for one in DEVICES}) == len(DEVICES)


@given(one=st.sampled_from(DEVICES), separator=st.sampled_from(["-", " ", "_", "", "  "]), upper=st.booleans())
def test_spelling_does_not_matter(one: Device, separator: str, upper: bool) -> None:
    """Any case and any separator finds the same device, with its maker's name in front or without."""
    name = one.name.replace("-", separator)
    spelled = name.upper() if upper else name
    assert find_device(spelled) is find_device(f" {one.vendor} {spelled} ") is one


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rtx 4900", "rtx-4090"),
        ("h1000", "h100-80gb-sxm"),
        ("", "lists them"),
        ("?", "lists them"),
        ("q" * 9999, "lists"),
    ],
)
def test_an_unknown_name_is_an_input_error_with_a_hint(word: str, hint: str) -> None:
    """A near miss is answered with the nearest names, anything else with where to look; the message stays short."""
    with pytest.raises(InputError) as error:
        find_device(word)
    assert hint in error.value.hint
    assert len(error.value.what) < 100
    assert not is_device(word)


@each_device
def test_every_figure_has_a_source_and_a_date(one: Device) -> None:
    """No number without origin; names are lower case and without spaces."""
    assert one.source
    assert one.usable_source
    assert one.context_source
    assert re.fullmatch(r"2026-\d\d-\d\d", one.checked)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.name)


@each_device
def test_usable_memory_lies_below_memory_as_sold(one: Device) -> None:
    """A runtime never reports more than is sold, nor loses more than ECC and the driver can explain."""
    assert 0.88 * one.memory < one.usable < one.memory
    assert 0 < one.context < one.usable / 4
    assert one.memory % GIB == 0


@each_device
def test_an_exact_figure_is_the_reading_it_cites(one: Device) -> None:
    """The cited text holds the number, in bytes, MiB or GiB."""
    if one.usable_exactness is Exactness.EXACT and "to the byte" not in one.usable_source:
        numbers = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", one.usable_source)]
        assert one.usable / MIB in numbers or any(one.usable == int(number * 1024) * MIB for number in numbers)
    if one.usable_exactness is Exactness.MODELLED:
        assert re.search(r"\bless\b|\bas\b|share|taken for| - ", one.usable_source)


@each_device
def test_speed_is_plausible(one: Device) -> None:
    """Narrower formats are no slower, memory and links have the speed of their kinds."""
    rates = dict(one.flops)
    order = [rates[name] for name in ("fp32", "tf32", "fp16", "fp8", "fp4") if name in rates]
    if one.name != "gtx-1080-ti":  # FP16 runs at 1/64 there
        assert order == sorted(order)
    assert rates.get("bf16", rates.get("fp16")) in (rates.get("fp16"), rates.get("fp16", 0) / 2)
    assert rates.get("int8", 0) >= rates.get("fp16", 0) or "int8" not in rates
    assert all(10**11 < rate < 2 * 10**16 for rate in rates.values())
    assert one.bandwidth is not None
    assert 10**11 < one.bandwidth <= 8 * 10**12
    assert one.link is None or (bool(one.link_kind) and 3 * 10**10 <= one.link <= 2 * 10**12)


@each_device
def test_only_cuda_devices_have_a_compute_capability(one: Device) -> None:
    """Capability is a CUDA notion; multiprocessors or compute units are known for all."""
    assert (one.capability is not None) == (one.vendor == "NVIDIA")
    assert one.multiprocessors
    assert (one.context_exactness is Exactness.UNKNOWN) == (one.vendor == "AMD")


@pytest.mark.parametrize(
    "one", [one for one in CUDA if one.context_exactness is Exactness.FITTED], ids=lambda one: one.name
)
def test_the_context_rule_meets_the_measurements(one: Device) -> None:
    """32 MiB + 2 KiB a resident thread is within 11 % of every measured context."""
    assert one.capability
    assert one.multiprocessors
    assert cuda_context_bytes(one.capability, one.multiprocessors) == pytest.approx(one.context, rel=0.11)


def test_known_devices() -> None:
    """A few figures that anyone can look up."""
    card = find_device("rtx-4090")
    assert (card.memory, card.usable, card.capability, card.multiprocessors) == (24 * GIB, 24081 * MIB, (8, 9), 128)
    assert dict(card.flops)["bf16"] == pytest.approx(165.2e12)
    assert find_device("h100").bandwidth == 3_350 * 10**9
    assert find_device("mi250x").memory == 64 * GIB
    assert find_device("gb10").unified


def test_a_free_form_device_is_all_usable() -> None:
    """`--memory 24GiB` means 24 GiB for the process, context included; nothing else is known about the device."""
    one = free_form_device(24 * GIB)
    assert (one.memory, one.usable, one.usable_exactness) == (24 * GIB, 24 * GIB, Exactness.EXACT)
    assert (one.context, one.context_exactness) == (GIB // 2, Exactness.MODELLED)
    assert (one.capability, one.bandwidth, one.flops) == (None, None, ())
    assert one.name == "24.00GiB"
