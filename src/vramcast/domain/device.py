"""One accelerator."""

from dataclasses import dataclass

from vramcast.domain.exactness import Exactness


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """
    One accelerator.

    Attributes:
        memory: bytes as sold; usable: bytes that a process can hold, context included.
        context: bytes of the process before the first tensor (driver context, kernels, library handles).
        usable_source, context_source: the reading behind each, or the rule where nobody published one.
        capability: compute capability such as (8, 9); None for AMD and for a free-form device.
        multiprocessors: streaming multiprocessors (compute units on AMD), None if not known.
        bandwidth: memory bytes per second.
        link, link_kind: bytes per second of all links to neighbours, both directions together, and what they are.
        flops: dense FLOP/s by number format, without sparsity.
        unified: the CPU uses the same memory.
        aliases: other names; note: what else to know; source, checked: the datasheet, and when it was read.
    """

    name: str
    label: str
    vendor: str
    memory: int
    usable: int
    usable_exactness: Exactness
    context: int
    context_exactness: Exactness
    usable_source: str = ""
    context_source: str = ""
    capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
    bandwidth: int | None = None
    link: int | None = None
    link_kind: str = ""
    flops: tuple[tuple[str, float], ...] = ()
    unified: bool = False
    aliases: tuple[str, ...] = ()
    note: str = ""
    source: str = ""
    checked: str = ""
