"""The birth and death of every storage on one device."""

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vramcast.domain.forecast import Category, Phase
from vramcast.domain.timeline import Block, Event, Mark, Timeline
from vramcast.trace import standin
from vramcast.trace.attention import attend
from vramcast.trace.in_place import IN_PLACE, InPlace
from vramcast.trace.kinds import Kinds
from vramcast.trace.places import OUTSIDE, Place, Places, place_of
from vramcast.trace.unsupported import unsupported

Operator = torch._ops.OpOverload
HiddenBytes = Callable[[Operator, Any, Any, Any], Iterable[Any]]
_CAST = torch.ops.aten._to_copy.default
_STACK = torch.ops.aten.stack.default
_DEVICE_OF = torch.ops.prim.device.default
_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


class _Watch(weakref.ref[torch.UntypedStorage]):
    """A weak reference that knows which block it watches."""

    __slots__ = ("block", "key")
    key: int
    block: int


class Recorder(TorchDispatchMode):
    """
    Records blocks and events while it is entered; enter it after the fake mode, so that it sees every operator first.

    Args:
        device: type of the device whose storages count.
        hidden: what an operator's kernel takes for itself, see `kernels.hidden`; None: nothing.
        places: who knows which module is at work.

    `gathered` tells of each stack made outside all modules how many of its bytes come from which layer.
    """

    def __init__(self, device: str, places: Places, hidden: HiddenBytes | None = None) -> None:
        super().__init__()
        self.device = device
        self.places = places
        self._hidden = hidden
        self._kept: set[tuple[str, int]] = set()
        self._blocks: list[Block] = []
        self._events: list[Event] = []
        self._marks: list[Mark] = []
        self._live: dict[int, _Watch] = {}
        self._fresh: dict[Operator, bool] = {}
        self.gathered: dict[int, Counter[int]] = {}
        self._phase = Phase.LOAD
        self._source: Any = None
        self._in_place = InPlace()
        self.kinds = Kinds()
        self._recomputed: int | None = None
        places.on_recompute = self._recompute
        self._began = 0

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DEVICE_OF:
            return args[0].fake_device
        kwargs = kwargs or {}
        if self._recomputed is not None:
            first, self._recomputed = self._recomputed, None
            self.label_since(first, Category.ACTIVATIONS)
        if func is _ATTENTION and self.device == standin.NAME:  # under inference_mode no autograd kernel has chosen yet
            with self:
                return attend(*args, **kwargs)
        if func in IN_PLACE:
            func = self._in_place.operator(func, args) or func
        try:
            result = func(*args, **kwargs)
        except RuntimeError as error:
            told = unsupported(error, func, self.places)
            if told is None:
                raise
            raise told from error
        self._record(func, args, kwargs, result)
        return result

    def _record(self, func: Operator, args: Any, kwargs: Any, result: Any) -> None:
        """The storages that an operator made, between those that its kernel took before and after."""
        hidden = self._hidden(func, args, kwargs, result) if self._hidden else ()
        early = [self._take(one, func) for one in hidden if one.before] if hidden else ()
        if self._makes_storages(func):
            self._look_at(result, func, args)
            if func is _STACK:
                self._gather(args[0], result)
        if hidden:
            late = [self._take(one, func) for one in hidden if not one.before]
            for block in (*early, *late):
                if block >= 0:
                    self._events.append(Event(False, block))

    def get_ready(self) -> None:
        """Call it when every mode is entered, and before anything is to be recorded."""
        self._in_place.measure(self.device)
        assert not self._live
        self._blocks.clear()
        self._kept.clear()
        self._events.clear()

    # What the driver says.

    def enter_phase(self, phase: Phase, name: str) -> None:
        """From here on, blocks are born in `phase`."""
        self._phase = phase
        self._marks.append(Mark(len(self._events), phase, name))

    def forget_graph(self) -> None:
        """The backward pass is over, and its graph gone."""
        self.places.forget()

    def label(self, tensors: Iterable[torch.Tensor], category: Category) -> None:
        """Say what the storages of these tensors are."""
        for tensor in tensors:
            if tensor.device.type == self.device:
                block = self._block_of(tensor, "given")
                if block >= 0:
                    self._blocks[block] = self._blocks[block]._replace(category=category)

    def locate(self, model: nn.Module) -> None:
        """Say which module each parameter and buffer belongs to."""
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            block = self._block_of(tensor, "given") if tensor.device.type == self.device else -1
            if block >= 0:
                place = place_of(name.rpartition(".")[0])
                self._blocks[block] = self._blocks[block]._replace(module=place.path, layer=place.layer)

    def belong(self, tensors: Iterable[torch.Tensor], owner: torch.Tensor) -> None:
        """Say that these tensors belong to the module of `owner`: an optimizer's states to their parameter's."""
        place = self._place_of(owner)
        for tensor in tensors:
            block = self._block_of(tensor, "given") if tensor.device.type == self.device else -1
            if block >= 0:
                self._blocks[block] = self._blocks[block]._replace(module=place.path, layer=place.layer)

    def label_since(self, event: int, category: Category, instead_of: Category = Category.TEMPORARY) -> None:
        """Blocks born at or after `event`, still alive, and so far `instead_of`, are `category`."""
        first = next((e.block for e in self._events[event:] if e.born), len(self._blocks))
        for watch in self._live.values():
            if watch.block >= first and self._blocks[watch.block].category is instead_of:
                self._blocks[watch.block] = self._blocks[watch.block]._replace(category=category)

    @property
    def now(self) -> int:
        """Events so far."""
        return len(self._events)

    @property
    def live_bytes(self) -> int:
        """Bytes of the storages that live now."""
        return sum(self._blocks[watch.block].bytes for watch in self._live.values())

    def timeline(self) -> Timeline:
        """Everything so far."""
        return Timeline(blocks=tuple(self._blocks), events=tuple(self._events), marks=tuple(self._marks))

    @contextmanager
    def following(self) -> Iterator["Recorder"]:
        """Record, follow modules, and see storages that are resized in place."""
        resize = torch.UntypedStorage.resize_

        def resized(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
            resize(storage, size)
            watch = self._live.get(storage._cdata)
            if watch is not None:
                self._end(watch)
                self._begin(storage, storage._cdata, "storage.resize_")
            elif storage.device.type == "meta" and size:
                self._begin(storage, storage._cdata, "storage.resize_")
            return storage

        torch.UntypedStorage.resize_ = resized  # type: ignore[method-assign,assignment]
        try:
            with self.places.followed(), self:
                yield self
        finally:
            torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]

    # Storages.

    def _makes_storages(self, func: Operator) -> bool:
        fresh = self._fresh.get(func)
        if fresh is None:
            fresh = any(one.alias_info is None for one in func._schema.returns) or "resize" in func._schema.name
            fresh = fresh or func._schema.name.startswith(("aten::set_", "aten::lift"))
            self._fresh[func] = fresh
        return fresh

    def _look_at(self, result: Any, func: Operator, source: Any) -> None:
        """Blocks of what an operator returned; outside all modules a tensor belongs where its first operand does."""
        if isinstance(result, torch.Tensor):
            if result.device.type == self.device:
                self._source = source
                self._block_of(result, func)
                self._source = None
        elif isinstance(result, tuple | list):
            first = source[0] if isinstance(source, tuple) and source and isinstance(source[0], list | tuple) else None
            matched = first if first is not None and len(first) == len(result) else [source] * len(result)
            for one, its in zip(result, matched, strict=True):
                self._look_at(one, func, its)

    def _block_of(self, tensor: torch.Tensor, func: Operator | str) -> int:
        storage = tensor.untyped_storage()
        key = storage._cdata
        watch = self._live.get(key)
        if watch is None:
            return self._begin(storage, key, func)
        if storage.nbytes() != self._blocks[watch.block].bytes:
            self._end(watch)
            return self._begin(storage, key, func)
        return watch.block

    def _begin(self, storage: torch.UntypedStorage, key: int, func: Operator | str) -> int:
        size = storage.nbytes()
        if not size:
            return -1
        watch = _Watch(storage, self._gone)
        watch.key, watch.block = key, self._born(size, None, func)
        self._live[key] = watch
        return watch.block

    def _born(self, size: int, category: Category | None, func: Operator | str, label: str = "") -> int:
        place = self.places.now()
        if category is None:
            category = self._kind(func, place)
        if place is OUTSIDE and self._source is not None:
            place = self._place_of(self._source)
        block = len(self._blocks)
        name = label or str(func)
        self._blocks.append(Block(size, category, self._phase, place.path, place.layer, name))
        self._events.append(Event(True, block))
        return block

    def _kind(self, func: Operator | str, place: Place) -> Category:
        if func is _CAST and self._source is not None:  # a weight in another format is a weight
            watch = self._live.get(self._source[0].untyped_storage()._cdata)
            if watch is not None and self._blocks[watch.block].category is Category.PARAMETERS:
                return Category.PARAMETERS
        return self.kinds.of(place)

    def _recompute(self, begins: bool) -> None:
        """Within a backward pass a module runs forward again; what lives on when it has run is kept for its backward."""
        if begins:
            self._began = self.now
        else:
            self._recomputed = self._began

    def _gather(self, tensors: Sequence[torch.Tensor], result: torch.Tensor) -> None:
        """Remember how many bytes each layer has in a stack of scalars of all parameters, such as gradients' norms."""
        block = self._block_of(result, _STACK) if result.device.type == self.device else -1
        if block >= 0 and self.places.now() is OUTSIDE:
            size = self._blocks[block].bytes // len(tensors)
            self.gathered[block] = Counter({})
            for tensor in tensors:
                self.gathered[block][self._place_of(tensor).layer] += size

    def _place_of(self, source: Any) -> Place:
        while isinstance(source, tuple | list) and source:
            source = source[0]
        if not isinstance(source, torch.Tensor) or source.device.type != self.device:
            return OUTSIDE
        watch = self._live.get(source.untyped_storage()._cdata)
        return Place(self._blocks[watch.block].module, self._blocks[watch.block].layer) if watch else OUTSIDE

    def _end(self, watch: _Watch) -> None:
        del self._live[watch.key]
        self._events.append(Event(False, watch.block))

    def _gone(self, watch: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(watch, _Watch)
        if self._live.get(watch.key) is watch:
            self._end(watch)

    def _take(self, hidden: Any, func: Operator) -> int:
        if hidden.kept:
            key = (hidden.kept, threading.get_ident())
            if key in self._kept:
                return -1
            self._kept.add(key)
            self._born(hidden.bytes, hidden.category, func, hidden.label)
            return -1
        return self._born(hidden.bytes, hidden.category, func, hidden.label)
