"""Memory figures of devices for which nobody published a reading: the rules, and how well they meet the readings."""

from vramcast.units import GIB, MIB

_THREADS = {  # most resident threads of one multiprocessor, by compute capability
    (6, 0): 2048,
    (6, 1): 2048,
    (7, 0): 2048,
    (7, 5): 1024,
    (8, 0): 2048,
    (8, 6): 1536,
    (8, 9): 1536,
    (9, 0): 2048,
    (10, 0): 2048,
    (10, 3): 2048,
    (12, 0): 1536,
    (12, 1): 1536,
}
_NVIDIA_RESERVE = 512 * MIB
_AMD_RESERVE = 16 * MIB
_FIXED_CONTEXT = 32 * MIB
_CONTEXT_PER_THREAD = 2048

PLANNED_CONTEXT = GIB // 2
USABLE_RULE = "{}, less {} MiB that the driver keeps"
CONTEXT_RULE = "32 MiB + 2 KiB a resident thread (multiprocessors · threads of one)"
PLANNED_CONTEXT_RULE = "a planning number: nobody published a measurement"


def reserve_bytes(vendor: str) -> int:
    """
    Bytes that the driver keeps from programs: memory (or nvidia-smi's total) minus what the runtime reports as total.

    Formula:  512 MiB on NVIDIA, 16 MiB on AMD.
    Source:   the readings in this catalog. On Linux, NVIDIA drivers since 2023 keep 340 to 510 MiB of GeForce cards and
              480 to 1,100 MiB of 80 GiB and more; Instinct modules keep 16 to 20 MiB.
    Ignores:  the driver's version (older ones keep less), ECC where nvidia-smi's total is not known, Windows.
    """
    return _NVIDIA_RESERVE if vendor == "NVIDIA" else _AMD_RESERVE


def cuda_context_bytes(capability: tuple[int, int], multiprocessors: int) -> int:
    """
    Bytes of a CUDA context with lazily loaded kernels, before the first tensor.

    Formula:  32 MiB + 2 KiB · multiprocessors · resident threads of one
    Source:   resident threads: CUDA C++ Programming Guide, compute capabilities. The two constants were chosen against
              the catalog's measured contexts, which they meet within 11 %; one start-up log of a 23.56 GiB card
              shows twice as much, perhaps because something else ran there.
    Ignores:  what cuBLAS, cuDNN and attention kernels load later: 0.03 to 0.25 GiB more, as vLLM logs show.

    A context holds the local memory of every thread that can run at once, so it grows with the chip, not with its memory.
    """
    return _FIXED_CONTEXT + _CONTEXT_PER_THREAD * multiprocessors * _THREADS[capability]
