"""From recorded blocks to terms: what lives at a moment, by what it is and by the module that made it."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Instant, Part, Phase, Term
from vramcast.domain.timeline import Timeline
from vramcast.trace.replay import Replay

SOURCE = "recorded: the real code on the stand-in device"
MOST_PARTS = 12
_LAYER = re.compile(r"(\.)\d+(?=\.|$)")
_WRAPPER = re.compile(r"^(base_model\.model\.)?(model\.)?")
_OUTSIDE = "outside modules"
LABELS = {
    Category.PARAMETERS: "parameters and buffers",
    Category.GRADIENTS: "gradients",
    Category.OPTIMIZER_STATES: "optimizer states and masters",
    Category.ACTIVATIONS: "kept for the backward pass",
    Category.LOGITS: "logits and what the loss makes of them",
    Category.KV_CACHE: "cached keys, values and states",
    Category.TEMPORARY: "in use at this moment",
    Category.WORKSPACE: "workspaces of libraries",
}
INPUTS = "inputs of a pass"
SERVED = (Phase.PREFILL, Phase.DECODE)
RESIDENT = (Category.PARAMETERS, Category.OPTIMIZER_STATES)


class _Share(NamedTuple):
    """A number of blocks, and what the allocator granted them."""

    blocks: int
    bytes: int


def instants(timeline: Timeline, replay: Replay) -> tuple[Instant, ...]:
    """The worst moment of each stretch of the program that has a name."""
    return tuple(_instants(timeline, replay))


def _instants(timeline: Timeline, replay: Replay) -> Iterator[Instant]:
    live: dict[int, int] = {}
    position = 0
    for mark, stretch in zip(timeline.marks, replay.stretches[1:], strict=False):
        for event in range(position, stretch.event + 1):
            born, block = timeline.events[event]
            if born:
                live[block] = replay.granted[block]
            else:
                del live[block]
        position = max(position, stretch.event + 1)
        terms = tuple(_terms(timeline, live, mark.phase))
        yield Instant(phase=mark.phase, name=_named(timeline, mark.name, stretch.event), terms=terms)


def _named(timeline: Timeline, mark: str, event: int) -> str:
    """`step 2 backward, in lm_head (log_softmax_backward_data)`."""
    block = timeline.blocks[timeline.events[event].block] if event >= 0 else None
    if block is None:
        return mark
    operator = block.operator.removeprefix("aten.").partition(".")[0].strip("_")
    where = f"in {shown(block.module, block.layer)} " if block.module else ""
    return f"{mark}, {where}({operator})"


def _terms(timeline: Timeline, live: dict[int, int], phase: Phase) -> Iterator[Term]:
    groups: dict[Category, dict[str, _Share]] = {}
    for number, size in live.items():
        block = timeline.blocks[number]
        modules = groups.setdefault(block.category, {})
        name = _pattern(block.module)
        known = modules.get(name, _Share(0, 0))
        modules[name] = _Share(known.blocks + 1, known.bytes + size)
    for category in Category:
        if category in groups:
            yield _term(category, groups[category], phase)


def _term(category: Category, modules: dict[str, _Share], phase: Phase) -> Term:
    size = sum(live.bytes for live in modules.values())
    count = sum(live.blocks for live in modules.values())
    return Term(
        bytes=size,
        category=category,
        label=INPUTS if category is Category.ACTIVATIONS and phase in SERVED else LABELS[category],
        phase=Phase.RESIDENT if category in RESIDENT else phase,
        formula="recorded",
        values=(("recorded", size), ("storages", count)),
        source=SOURCE,
        exactness=Exactness.EXACT,
        parts=tuple(_parts(modules)),
    )


def _parts(modules: dict[str, _Share]) -> Iterable[Part]:
    """The largest modules, and the rest together."""
    ranked = sorted(modules.items(), key=lambda item: -item[1].bytes)
    shown_first, rest = ranked[:MOST_PARTS], ranked[MOST_PARTS:]
    for name, live in shown_first:
        yield Part(name, _counted(live.blocks, "tensor"), live.bytes)
    if rest:
        others = _Share(sum(live.blocks for _, live in rest), sum(live.bytes for _, live in rest))
        yield Part(_counted(len(rest), "other module"), _counted(others.blocks, "tensor"), others.bytes)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _pattern(module: str) -> str:
    """A module's path with its layer's number left open: `layers.*.mlp.up_proj`."""
    return _LAYER.sub(r"\1*", _WRAPPER.sub("", module), count=1) or _OUTSIDE


def shown(module: str, layer: int) -> str:
    """`mlp.up_proj of layer 3`, `lm_head`."""
    short = _WRAPPER.sub("", module)
    if layer < 0:
        return short
    inner = re.split(rf"(?:^|\.){layer}(?:\.|$)", short, maxsplit=1)[-1]
    return f"{inner} of layer {layer}" if inner else f"layer {layer}"
