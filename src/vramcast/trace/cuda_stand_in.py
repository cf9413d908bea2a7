"""What `torch.cuda` answers while a program runs on the stand-in: one device, of the kind that was asked for."""

from types import SimpleNamespace
from typing import Any, Self

import torch

from vramcast.domain.device import Device
from vramcast.trace import standin
from vramcast.trace.allocator_settings import rounded
from vramcast.trace.attention import AMPERE
from vramcast.trace.patches import Patches
from vramcast.trace.recorder import Recorder
from vramcast.trace.replay import replay

CUDA = torch.device("cuda", 0)
_PLANNED_MEMORY = 2**40  # no device was named: nothing a program asks for is refused
_NO_RESULT = [
    "init",
    "_lazy_init",
    "set_device",
    "synchronize",
    "empty_cache",
    "ipc_collect",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state_all",
    "set_stream",
    "set_sync_debug_mode",
    "set_per_process_memory_fraction",
    "reset_accumulated_memory_stats",
]
_IN_MEMORY = [
    "memory_allocated",
    "max_memory_allocated",
    "memory_reserved",
    "max_memory_reserved",
    "memory_stats",
    "memory_summary",
    "mem_get_info",
    "reset_peak_memory_stats",
    "reset_max_memory_allocated",
    "empty_cache",
    "set_per_process_memory_fraction",
    "reset_accumulated_memory_stats",
]


class Moment:
    """A stream, an event, or a context of a device: nothing is under way here, and nothing takes time."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.device = CUDA
        self.cuda_stream = 0
        self.idx = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def query(self) -> bool:
        """All work is done."""
        return True

    def elapsed_time(self, _: object) -> float:
        """Milliseconds: one, so that a speed can be worked out."""
        return 1.0

    def record_event(self, event: "Moment | None" = None) -> "Moment":
        """An event of this stream."""
        return event or Moment()

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Nothing to wait for."""

    wait_event = wait_stream = wait = record = synchronize = _nothing


class StandInCuda:
    """The functions of `torch.cuda` that a program asks; public methods have their names."""

    def __init__(self, recorder: Recorder, device: Device | None) -> None:
        self._recorder = recorder
        self._device = device
        self._since = 0

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return including_emulation or self.get_device_capability() >= AMPERE

    def is_current_stream_capturing(self) -> bool:
        return False

    def can_device_access_peer(self, *_: Any) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_arch_list(self) -> list[str]:
        return ["sm_{}{}".format(*self.get_device_capability())]

    def get_device_name(self, _: Any = None) -> str:
        return self._device.label if self._device else "a device without a limit"

    def get_device_capability(self, _: Any = None) -> tuple[int, int]:
        return (self._device and self._device.capability) or AMPERE

    def get_device_properties(self, _: Any = None) -> SimpleNamespace:
        major, minor = self.get_device_capability()
        return SimpleNamespace(
            name=self.get_device_name(),
            major=major,
            minor=minor,
            total_memory=self.mem_get_info()[1],
            multi_processor_count=(self._device and self._device.multiprocessors) or 1,
            warp_size=32,
            is_integrated=0,
            gcnArchName="",
        )

    def memory_allocated(self, _: Any = None) -> int:
        return self._allocated()[0]

    def max_memory_allocated(self, _: Any = None) -> int:
        return self._allocated()[1]

    def memory_reserved(self, _: Any = None) -> int:
        return replay(self._recorder.timeline()).reserved

    def max_memory_reserved(self, device: Any = None) -> int:
        return self.memory_reserved(device)

    def memory_stats(self, _: Any = None) -> dict[str, int]:
        now, most = self._allocated()
        reserved = self.memory_reserved()
        kinds = {"allocated": (now, most), "active": (now, most), "reserved": (reserved, reserved)}
        counts = {"num_ooms": 0, "num_alloc_retries": 0}
        for kind, (current, peak) in kinds.items():
            counts |= {f"{kind}_bytes.all.current": current, f"{kind}_bytes.all.peak": peak}
        return counts

    def memory_summary(self, *_: Any, **__: Any) -> str:
        return "\n".join(f"{name:<32}{size:>20,}" for name, size in self.memory_stats().items())

    def mem_get_info(self, _: Any = None) -> tuple[int, int]:
        if self._device is None:
            return _PLANNED_MEMORY - self.memory_reserved(), _PLANNED_MEMORY
        free = self._device.usable - self._device.context - self.memory_reserved()
        return max(free, 0), self._device.usable

    def reset_peak_memory_stats(self, _: Any = None) -> None:
        self._since = self._recorder.now

    def reset_max_memory_allocated(self, _: Any = None) -> None:
        self._since = self._recorder.now

    def get_rng_state(self, _: Any = None) -> torch.Tensor:
        return torch.zeros(standin.RNG_STATE_BYTES, dtype=torch.uint8, device="cpu")

    def get_rng_state_all(self) -> list[torch.Tensor]:
        return [self.get_rng_state()]

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        pass

    def initial_seed(self) -> int:
        return 0

    def current_stream(self, _: Any = None) -> Moment:
        return Moment()

    def default_stream(self, _: Any = None) -> Moment:
        return Moment()

    def _allocated(self) -> tuple[int, int]:
        """Bytes allocated now, and the most since the last reset, as CUDA's allocator rounds them."""
        timeline = self._recorder.timeline()
        now = most = 0
        for position, (born, block) in enumerate(timeline.events):
            size = rounded(timeline.blocks[block].bytes)
            now += size if born else -size
            most = now if position < self._since else max(most, now)
        return now, most


def put_in_place(patches: Patches, cuda: StandInCuda) -> None:
    """`torch.cuda` and `torch.accelerator` answer as `cuda` does."""
    names = [name for name in dir(cuda) if not name.startswith("_")]
    for name in names:
        patches.answer(torch.cuda, name, getattr(cuda, name), f"torch.cuda.{name}")
    for name in _NO_RESULT:
        patches.answer(torch.cuda, name, _nothing, f"torch.cuda.{name}")
    for name in _IN_MEMORY:
        patches.put(torch.cuda.memory, name, getattr(torch.cuda, name))
    for name in ("Stream", "Event", "device", "stream", "device_of"):
        patches.put(torch.cuda, name, Moment)
    for name in ("range_push", "range_pop", "mark"):
        patches.put(torch.cuda.nvtx, name, _nothing)
    patches.put(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    patches.put(torch.accelerator, "synchronize", _nothing)
    patches.put(torch.accelerator, "empty_cache", _nothing)


def _nothing(*_: Any, **__: Any) -> None:
    """Nothing to do on a device that stores nothing."""
