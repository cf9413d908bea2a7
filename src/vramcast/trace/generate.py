"""A served model: transformers' own `generate`, followed pass by pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel

from vramcast.domain.errors import InputError, UnsupportedError
from vramcast.domain.forecast import Category, Phase
from vramcast.domain.run import ServeRun
from vramcast.trace.caches import CacheKind, generation_options, held_by, states_within
from vramcast.trace.recorder import Recorder

CACHE_NAMES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
READ_IN_ONE_PASS = ("mamba", "recurrentgemma")  # classes that do not hand their cache from chunk to chunk
Progress = Callable[[str], None]


def serve(
    model: nn.Module,
    run: ServeRun,
    recorder: Recorder,
    *,
    cache: CacheKind = CacheKind.DYNAMIC,
    decode_steps: int = 2,
    progress: Progress | None = None,
) -> None:
    """
    Read the prompts of `run` and generate greedily, until its sequences have their full length.

    B sequences of max_model_len - `decode_steps` tokens are read, in passes of `prefill_tokens` tokens if that is given; then
    one token a pass, `decode_steps` times. After the last pass the cache holds max_model_len tokens of each sequence. Every
    pass is a mark, and so is the choice of a token behind it; `progress` is called with the name of each pass.

    Source:   transformers 5.23 generation/utils.py (`generate`, `_prefill`, `_sample`).
    Ignores:  compiled passes, which generation makes with a static cache on CUDA; a compiler's temporaries and CUDA graphs'
              own pools.

    Raises:
        InputError: there is no room for a prompt beside the generated tokens.
        UnsupportedError: the model cannot be served with this cache, or a package for it is missing, or the model reads a
            prompt in one pass only.
    """
    assert isinstance(model, PreTrainedModel)  # adapters are trained, not served
    prompt = run.max_model_len - decode_steps
    if prompt < 1:
        raise InputError(f"{run.max_model_len} tokens leave no prompt beside {decode_steps} generated ones")
    if cache is not CacheKind.DYNAMIC and not _has_usual_cache(model):
        raise UnsupportedError(f"{type(model).__name__} has a cache of its own", "ask for the dynamic cache")
    chunk = _chunk(model, run, prompt)
    config = GenerationConfig(
        max_new_tokens=decode_steps + 1,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        prefill_chunk_size=chunk,
        **generation_options(cache, model.config),
    )
    follower = _Follower(model, recorder, -(-prompt // chunk) if chunk else 1, progress)
    recorder.places.know(model)
    recorder.label((*model.parameters(), *model.buffers()), Category.PARAMETERS)
    recorder.enter_phase(Phase.PREFILL, "prompts")
    start = recorder.now
    prompts = torch.full((run.max_num_seqs, prompt), _plain_token(model), dtype=torch.long, device=model.device)
    recorder.label((prompts,), Category.ACTIVATIONS)
    with follower.following(start):
        processors = LogitsProcessorList([follower.scores])
        model.generate(prompts, generation_config=config, logits_processor=processors)  # type: ignore[operator]


def _chunk(model: PreTrainedModel, run: ServeRun, prompt: int) -> int | None:
    """Tokens of each sequence that one pass of prefill reads; None: all."""
    if run.prefill_tokens is None:
        return None
    chunk = -(-run.prefill_tokens // run.max_num_seqs)
    if chunk >= prompt:
        return None
    name = type(model).__name__
    if any(one in name.lower() for one in READ_IN_ONE_PASS) or not _has_usual_cache(model):
        raise UnsupportedError(f"{name} reads a prompt in one pass only", "leave prefill_tokens out")
    return chunk


def _has_usual_cache(model: PreTrainedModel) -> bool:
    return bool(model._supports_default_dynamic_cache())  # type: ignore[operator]


def _plain_token(model: PreTrainedModel) -> int:
    """A token that means nothing special."""
    known = model.generation_config
    special = {known.bos_token_id, known.pad_token_id}
    special |= set(known.eos_token_id) if isinstance(known.eos_token_id, list) else {known.eos_token_id}
    return next(token for token in range(len(special) + 1) if token not in special)


@dataclass(slots=True)
class _Follower:
    """Says at every pass what runs, and what its tensors are."""

    model: PreTrainedModel
    recorder: Recorder
    prefills: int
    progress: Progress | None
    passes: int = 0

    @contextmanager
    def following(self, start: int) -> Iterator[None]:
        """Follow the passes of the model; what was born between two of them, and lives on, is input of the second."""
        between = start

        def before(*_: Any) -> None:
            self.recorder.label_since(between, Category.ACTIVATIONS)
            phase, name = self._pass
            self.recorder.enter_phase(phase, name)
            if self.progress:
                self.progress(name)

        def after(_: Any, __: Any, given: dict[str, Any], output: Any) -> None:
            nonlocal between
            self._label(given, output)
            self.recorder.enter_phase(self._pass[0], "next token")
            self.passes += 1
            between = self.recorder.now

        hooks = (
            self.model.register_forward_pre_hook(before),
            self.model.register_forward_hook(after, with_kwargs=True),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def scores(self, _: Tensor, scores: Tensor) -> Tensor:
        """Stand among the processors of scores, to see their FP32 copy."""
        self.recorder.label((scores,), Category.LOGITS)
        return scores

    @property
    def _pass(self) -> tuple[Phase, str]:
        if self.passes >= self.prefills:
            return Phase.DECODE, f"decode {self.passes - self.prefills + 1}"
        return Phase.PREFILL, f"prefill {self.passes + 1} of {self.prefills}" if self.prefills > 1 else "prefill"

    def _label(self, given: dict[str, Any], output: Any) -> None:
        caches = [one[name] for one in (given, output) for name in CACHE_NAMES if name in one]
        self.recorder.label((*held_by(caches), *states_within(self.model)), Category.KV_CACHE)
        self.recorder.label((output["logits"],), Category.LOGITS)
