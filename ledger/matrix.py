"""Which steps are measured: families, methods, checkpointing, lengths, each pair of choices met, the models sized to the card."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from vramcast.app.predict import predict
from vramcast.catalog.number_formats import find_format
from vramcast.catalog.stacks import find_stack
from vramcast.domain.device import Device
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Method,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    TrainRun,
)
from vramcast.sources.read import read_config

GB = 10**9
LARGEST = 130 * GB  # of what a case should fill
SMALLEST = 2 * GB
LAYERS = "num_hidden_layers"
FEWEST, MOST = 2, 128  # layers
WIDE: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": WIDE | {"vocab_size": 32000},
    "qwen2": WIDE | {"hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
    "gemma2": WIDE
    | {"hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16, "num_key_value_heads": 8}
    | {"head_dim": 256, "vocab_size": 256000, "tie_word_embeddings": True, "pad_token_id": 0},
    "mixtral": WIDE
    | {"hidden_size": 2048, "intermediate_size": 3584, "num_local_experts": 8, "num_experts_per_tok": 2}
    | {"vocab_size": 32000},
}
LENGTHS = (1024, 4096)
FILLS = {
    Method.FULL: (0.8, 0.2, 0.5),
    Method.LORA: (0.1, 0.75, 0.3, 0.02),
    Method.QLORA: (0.05, 0.25, 0.12),  # more would take long to compute
}
OPTIMIZERS = {
    Method.FULL: (Optimizer.ADAMW_FUSED, Optimizer.ADAMW_FOREACH, Optimizer.SGD, Optimizer.ADAMW_LOOP),
    Method.LORA: (Optimizer.ADAMW_FOREACH, Optimizer.ADAMW_FUSED),
    Method.QLORA: (Optimizer.ADAMW_8BIT, Optimizer.ADAMW_FUSED),
}
PRECISIONS = {
    Method.FULL: (Precision.BF16, Precision.AMP_BF16, Precision.BF16, Precision.FP32, Precision.MASTER_BF16),
    Method.LORA: (Precision.BF16,),
    Method.QLORA: (Precision.BF16,),
}
DROPOUT = {"llama": 0.05, "qwen2": 0.0, "gemma2": 0.05, "mixtral": 0.0}  # PEFT has none for fused experts
STACKS = ("torch", "torch", "hf-trainer")
FORMATS = ("nf4", "nf4-dq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A step to measure; `fill` is the part of the card that the model is sized for, `layers` 0 until it is."""

    family: str
    run: TrainRun
    stack: str
    fill: float
    layers: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """The model's config."""
        return FAMILIES[self.family] | {"model_type": self.family, LAYERS: self.layers}

    @property
    def axes(self) -> tuple[str, ...]:
        """The choices that make the case."""
        run = self.run
        return (self.family, run.method, run.recompute, str(run.seq_len), run.attention, run.optimizer, run.precision)

    @property
    def name(self) -> str:
        """The same in each run, whatever the card and the number of layers."""
        return " ".join((*self.axes, self.stack, f"{self.fill:.0%}"))


def matrix() -> tuple[Case, ...]:
    """Every case, the most informative first: each next one has the most pairs of choices that none before had."""
    left, seen = list(_cases()), set[tuple[str, str]]()
    chosen: list[Case] = []
    while left:
        best = max(left, key=lambda case: len(_pairs(case) - seen))
        left.remove(best)
        seen |= _pairs(best)
        chosen.append(best)
    return tuple(chosen)


def _pairs(case: Case) -> set[tuple[str, str]]:
    return set(combinations(case.axes, 2))


def _cases() -> Iterator[Case]:
    combined = product(FAMILIES, Method, (Recompute.NONE, Recompute.FULL), LENGTHS)
    for number, (family, method, recompute, seq_len) in enumerate(combined):
        turn = number // 5 + number
        run = TrainRun(
            method=method,
            precision=_in_turn(PRECISIONS[method], turn),
            optimizer=_in_turn(OPTIMIZERS[method], turn),
            adapter=Adapter(dropout=DROPOUT[family]) if method is not Method.FULL else None,
            quantization=_quantization(turn) if method is Method.QLORA else None,
            seq_len=seq_len,
            recompute=recompute,
            attention=AttentionKernel.EAGER if family == "gemma2" or turn % 3 == 2 else AttentionKernel.SDPA,
        )
        yield Case(family=family, run=run, stack=_in_turn(STACKS, turn), fill=_in_turn(FILLS[method], turn))


def _in_turn(choices: tuple[Any, ...], turn: int) -> Any:
    return choices[turn % len(choices)]


def _quantization(turn: int) -> Quantization:
    return Quantization(format=find_format(_in_turn(FORMATS, turn)))


def sized(case: Case, device: Device) -> Case | None:
    """The case with as many layers as fill its part of the card, within what is sensible; None if the card is too small."""
    one, three = (_process(replace(case, layers=layers), device) for layers in (1, 3))
    wanted = max(SMALLEST, int(case.fill * min(device.usable, LARGEST)))
    layers = min(MOST, max(FEWEST, 1 + (wanted - one) * 2 // max(1, three - one)))
    while layers > FEWEST and _process(replace(case, layers=layers), device) > wanted:
        layers = max(FEWEST, layers * 15 // 16)  # what a layer adds differs with what the peak is
    fitting = replace(case, layers=layers)
    return fitting if _process(fitting, device) <= 0.95 * device.usable else None


def _process(case: Case, device: Device) -> int:
    model = read_config(case.config, case.family)
    return predict(model, case.run, device, stack=find_stack(case.stack)).tiers.process
