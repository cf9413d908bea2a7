"""What a meter says of one phase of a program."""

from dataclasses import dataclass

from vramcast.domain.forecast import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Memory of one phase, in bytes.

    Attributes:
        phase, name: what the program did, such as `step 1 backward`.
        allocated: the most that live tensors took at once within the phase.
        held: what live tensors took when it ended.
        reserved: the most that torch's allocator held; None on the CPU, whose allocator keeps nothing back.
        process: on the CPU the most that the process had in RAM within the phase; on CUDA what the device says is in use
            when it ends, less what others used before.
    """

    phase: Phase
    name: str
    allocated: int
    held: int
    reserved: int | None
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A phase that has begun."""

    phase: Phase
    name: str


BEFORE = Open(phase=Phase.RESIDENT, name="before the first phase")
