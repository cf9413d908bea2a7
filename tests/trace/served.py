"""Small models that are served, on real tensors and on none, and what lives at each boundary."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.dev.dense_configs import GPT
from tests.dev.test_hybrid_caches import RUNNABLE
from tests.dev.test_kv_cache import CASES, LLAMA
from tests.hybrid_cases import BASE
from tests.hybrid_cases import CASES as HYBRIDS
from tests.trace.allocator_events import Announcer, Birth, Curve, allocations
from vramcast.catalog.number_formats import find_format
from vramcast.domain.forecast import Category
from vramcast.domain.run import ServeRun
from vramcast.domain.timeline import Timeline
from vramcast.trace.caches import CacheKind
from vramcast.trace.generate import serve
from vramcast.trace.session import tracing

B, T, STEPS = 2, 43, 2  # sequences, tokens of each at the end, of which so many are generated

CONFIGS: dict[str, dict[str, Any]] = (
    {case: config for case, (config, _, _) in CASES.items()}
    | {kind: BASE | {"model_type": kind} | own | RUNNABLE.get(kind, {}) for kind, (own, _) in HYBRIDS.items()}
    | {"gpt2": GPT | {"model_type": "gpt2"}, "qwen3": LLAMA | {"model_type": "qwen3"}}
)


class _Nobody:
    """Stands where a recorder knows modules."""

    def know(self, model: Any) -> None:
        """Modules mean nothing here."""


class _Server(Announcer):
    """Takes what serving says for marks."""

    places = _Nobody()


@contextmanager
def quiet() -> Iterator[None]:
    """Without remarks on kernels that are not installed and tokens that are not set."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def built(name: str) -> PreTrainedModel:
    """A BF16 model on the device of the context, with weights of random numbers."""
    config = dict(CONFIGS[name])
    parsed = AutoConfig.for_model(config.pop("model_type"), **config)
    return AutoModelForCausalLM.from_config(parsed, dtype=torch.bfloat16).eval()


def asked(prefill_tokens: int | None = None) -> ServeRun:
    """The run of these tests."""
    return ServeRun(kv_format=find_format("bf16"), max_model_len=T, max_num_seqs=B, prefill_tokens=prefill_tokens)


def traced(
    name: str, device: str = "standin", cache: CacheKind = CacheKind.DYNAMIC, prefill_tokens: int | None = None
) -> Timeline:
    """The record of a served model that stores nothing."""
    with quiet(), tracing(device) as recorder:
        serve(built(name), asked(prefill_tokens), recorder, cache=cache, decode_steps=STEPS)
    return recorder.timeline()


def real_curve(name: str, cache: CacheKind = CacheKind.DYNAMIC, prefill_tokens: int | None = None) -> Curve:
    """Births of the storages of a real served model."""
    torch.manual_seed(0)
    with quiet():
        model = built(name)
        resident = {one.untyped_storage()._cdata: one.untyped_storage() for one in held(model)}
        run = asked(prefill_tokens)
        return allocations(
            lambda: serve(model, run, _Server(), cache=cache, decode_steps=STEPS),
            sum(storage.nbytes() for storage in resident.values()),
        )


def held(model: PreTrainedModel) -> list[torch.Tensor]:
    """A model's own tensors."""
    return [*model.parameters(), *model.buffers()]


def traced_curve(timeline: Timeline) -> Curve:
    """Births of the storages of a traced one."""
    live = live_bytes(timeline)
    marks = {mark.event: mark.name for mark in timeline.marks}
    curve: Curve = []
    for number, event in enumerate(timeline.events):
        if number in marks:
            curve.append(marks[number])
        if event.born and curve:
            curve.append(Birth(timeline.blocks[event.block].bytes, live[number + 1]))
    return curve


def live_bytes(timeline: Timeline, category: Category | None = None) -> list[int]:
    """Bytes that live before the first event, and after each."""
    live = [0]
    for event in timeline.events:
        block = timeline.blocks[event.block]
        counts = block.bytes if category in {None, block.category} else 0
        live.append(live[-1] + (counts if event.born else -counts))
    return live
