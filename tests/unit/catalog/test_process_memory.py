"""What a process takes outside torch's allocator."""

import pytest

from vramcast.catalog.gpus import find_device, free_form_device
from vramcast.catalog.process_memory import libraries, runtime_context
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category
from vramcast.units import GIB, MIB


@pytest.mark.parametrize(
    ("name", "label"), [("a100-80gb", "CUDA context"), ("t4", "CUDA context"), ("mi300x", "driver context")]
)
def test_the_context_is_the_devices_own(name: str, label: str) -> None:
    """Bytes, exactness and source come from the catalog; only NVIDIA's is called CUDA's."""
    device = find_device(name)
    term = runtime_context(device)
    assert (term.bytes, term.exactness) == (device.context, device.context_exactness)
    assert (term.label, term.category) == (label, Category.RUNTIME)
    assert device.name in term.source


def test_an_unknown_device_has_a_planning_number() -> None:
    """512 MiB, the same whether no device is named or only its memory."""
    assert runtime_context(None).bytes == 512 * MIB == runtime_context(free_form_device(24 * GIB)).bytes
    assert runtime_context(None).exactness is Exactness.MODELLED
    assert runtime_context(None).label == "CUDA context"


def test_libraries_are_a_planning_number() -> None:
    """150 MiB, marked as modelled."""
    term = libraries()
    assert (term.bytes, term.exactness, term.category) == (150 * MIB, Exactness.MODELLED, Category.RUNTIME)
