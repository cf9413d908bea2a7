"""A served model: transformers' own `generate`, its passes told to a meter."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from vramcast.domain.errors import InputError
from vramcast.domain.forecast import Phase
from vramcast.domain.run import ServeRun
from vramcast.measure.cache import cache_options
from vramcast.measure.meters import Meter
from vramcast.measure.train import attention_context


def generated(model: PreTrainedModel, prompts: Tensor, new: int, *, chunk: int | None = None, **options: Any) -> Any:
    """What `generate` answers: greedy, `new` tokens and none fewer; `options` are further ones of GenerationConfig."""
    kept: Any = model.generation_config
    kept.eos_token_id = None  # a random model stops at random
    config = GenerationConfig(
        max_new_tokens=new, do_sample=False, return_dict_in_generate=True, prefill_chunk_size=chunk, **options
    )
    theirs: Any = model
    return theirs.generate(prompts, generation_config=config)


class Server:
    """
    Reads the prompts of a run and generates until its sequences have their full length.

    Phases: `prompts`; each pass, `prefill` (`prefill 1 of 3`) or `decode 1`; `next token` behind each pass.
    """

    def __init__(self, model: PreTrainedModel, run: ServeRun, meter: Meter, decode_steps: int) -> None:
        self._model = model
        self._run = run
        self._meter = meter
        self._decodes = decode_steps
        self.prompt = run.max_model_len - decode_steps
        if self.prompt < 1:
            raise InputError(f"{run.max_model_len} tokens leave no prompt beside {decode_steps} generated ones")
        self._options = cache_options(run, model.dtype)
        self.seconds: list[float] = []

    def serve(self, ids: Tensor) -> Any:
        """The cache after the last pass, when it holds the full length of each sequence. `ids` are B prompts."""
        self._meter.enter("prompts", Phase.PREFILL)
        prompts = ids.to(self._meter.device)
        chunk = self._chunk
        with attention_context(self._run.attention), self._followed(-(-self.prompt // chunk) if chunk else 1):
            answer = generated(self._model, prompts, self._decodes + 1, chunk=chunk, **self._options)
        return answer.get("past_key_values")

    @property
    def _chunk(self) -> int | None:
        """Tokens of each sequence that a pass of prefill reads; None: all."""
        if self._run.prefill_tokens is None:
            return None
        chunk = -(-self._run.prefill_tokens // self._run.max_num_seqs)
        return chunk if chunk < self.prompt else None

    @contextmanager
    def _followed(self, prefills: int) -> Iterator[None]:
        began = 0.0

        def before(*_: Any) -> None:
            nonlocal began
            done = len(self.seconds)
            if done >= prefills:
                self._meter.enter(f"decode {done - prefills + 1}", Phase.DECODE)
            else:
                self._meter.enter(f"prefill {done + 1} of {prefills}" if prefills > 1 else "prefill", Phase.PREFILL)
            began = time.perf_counter()

        def after(*_: Any) -> None:
            self._meter.wait()
            self.seconds.append(time.perf_counter() - began)
            decoding = len(self.seconds) > prefills
            self._meter.enter("next token", Phase.DECODE if decoding else Phase.PREFILL)

        hooks = self._model.register_forward_pre_hook(before), self._model.register_forward_hook(after)
        try:
            with torch.no_grad():
                yield
        finally:
            for hook in hooks:
                hook.remove()
