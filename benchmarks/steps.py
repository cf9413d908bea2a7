"""The training steps that are timed. No torch here: who starts the measurements must be small."""

from dataclasses import dataclass, replace
from typing import Any

from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import Adapter, Method, Quantization, TrainRun
from vramcast.sources.raw_config import raw_config

LAYERS = "num_hidden_layers"
GPU = "h100-80gb"
STACK = "torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Two training steps of a model; `aim`: seconds that the trace may take on two cores, None: no aim."""

    title: str
    model: str
    run: TrainRun
    layers: int | None = None
    aim: float | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The model's config."""
        config = dict(raw_config(self.model))
        return config if self.layers is None else config | {LAYERS: self.layers}


LORA = TrainRun(method=Method.LORA, adapter=Adapter(), seq_len=4096)
QLORA = replace(LORA, method=Method.QLORA, quantization=Quantization(format=find_format("nf4")))
FULL = TrainRun(seq_len=2048)
STEPS = {
    "full": Step(title="Llama-3.1-8B, full, BF16, 2,048 tokens", model="llama-3.1-8b", run=FULL),
    "qlora": Step(title="Llama-3.1-8B, QLoRA, 4,096 tokens", model="llama-3.1-8b", run=QLORA, aim=3.0),
    "lora": Step(title="Llama-3.1-8B, LoRA, 4,096 tokens", model="llama-3.1-8b", run=LORA),
    "405b": Step(title="126 layers of Llama-3.1-405B, full, 2,048 tokens", model="llama-3.1-405b", run=FULL, aim=5.0),
}
TIMES = (1, 4, 16)


def grown(axis: str, times: int) -> Step:
    """Llama-3.1-8B with `times` the micro-batch (`B`), the tokens of a sequence (`T`) or the layers (`L`)."""
    small = replace(QLORA, seq_len=1024)
    run = {"B": replace(small, micro_batch=times), "T": replace(small, seq_len=1024 * times), "L": small}[axis]
    return Step(title=f"{axis} × {times}", model="llama-3.1-8b", run=run, layers=8 * times if axis == "L" else None)
