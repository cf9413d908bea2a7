"""What a process takes on a device outside torch's allocator."""

from vramcast.catalog.device_memory import PLANNED_CONTEXT
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Phase, Term
from vramcast.units import MIB

LIBRARIES = 150 * MIB  # cuBLAS, cuDNN and kernel modules: vLLM start-up logs show 30 to 460 MiB from a T4 to an H100


def runtime_context(device: Device | None) -> Term:
    """
    Driver context: in nvidia-smi, not in torch's counters.

    Formula:  the device's own figure; 512 MiB where the device is not known
    Source:   the device's row in the catalog.
    Ignores:  other processes, the display, NCCL.
    """
    size = device.context if device else PLANNED_CONTEXT
    return Term(
        bytes=size,
        category=Category.RUNTIME,
        label="driver context" if device and device.vendor == "AMD" else "CUDA context",
        phase=Phase.RESIDENT,
        formula="context",
        values=(("context", size),),
        source=f"catalog row of {device.name}" if device else "planning number, no device named",
        exactness=device.context_exactness if device else Exactness.MODELLED,
    )


def libraries() -> Term:
    """
    What cuBLAS, cuDNN and attention kernels load after the context exists.

    Formula:  150 MiB, a planning number
    Source:   non-torch memory in public vLLM start-up logs, less the context: 30 MiB on a T4, 90 on an A100, up to 460 on an
              H100.
    Ignores:  which kernels a run really loads.
    """
    return Term(
        bytes=LIBRARIES,
        category=Category.RUNTIME,
        label="library handles and loaded kernels",
        phase=Phase.RESIDENT,
        formula="libraries",
        values=(("libraries", LIBRARIES),),
        source="public vLLM start-up logs",
        exactness=Exactness.MODELLED,
    )
