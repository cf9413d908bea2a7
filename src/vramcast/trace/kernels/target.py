"""The GPU and the torch that kernels are asked about, and what a kernel takes there."""

from dataclasses import dataclass
from typing import NamedTuple

from vramcast.domain.forecast import Category

AMPERE = (8, 0)
AMPERE_MULTIPROCESSORS = 108


class Hidden(NamedTuple):
    """
    Bytes that live only while an operator runs, unless kept.

    Attributes:
        bytes: as requested from the allocator.
        label: what they hold.
        before: allocated before the operator's outputs; else after them.
        category: `Category.WORKSPACE` for the buffers of GEMM libraries.
        kept: not empty: allocated once per this key, thread and stream, and kept for ever.
    """

    bytes: int
    label: str
    before: bool = False
    category: Category = Category.TEMPORARY
    kept: str = ""


@dataclass(frozen=True)
class Target:
    """
    Where the program will run.

    Attributes:
        capability: compute capability; None, an unknown device, is taken as 8.0.
        multiprocessors: None is taken as 108, as on the A100 (NVIDIA A100 datasheet).
        torch: its version, major and minor.
        kept_workspace: cuBLAS keeps one workspace per handle and stream (torch ≤ 2.14); else one per call.
        deterministic: `torch.use_deterministic_algorithms(True)`.
        off: names of entries that are left out.
    """

    capability: tuple[int, int] | None
    multiprocessors: int | None
    torch: tuple[int, int]
    kept_workspace: bool
    deterministic: bool = False
    off: frozenset[str] = frozenset()

    @property
    def device(self) -> tuple[int, int]:
        """The capability, or the one that stands for an unknown device."""
        return self.capability or AMPERE

    @property
    def sms(self) -> int:
        """The multiprocessors, or the number that stands for an unknown one."""
        return self.multiprocessors or AMPERE_MULTIPROCESSORS
