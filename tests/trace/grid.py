"""A grid of training runs that both engines forecast: families, and what a run can be."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vramcast.catalog.number_formats import find_format
from vramcast.domain.run import (
    Adapter,
    AttentionKernel,
    Loss,
    Method,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    TrainRun,
)

WIDE: dict[str, Any] = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 6,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
EVERY_HEAD = {"num_key_value_heads": 32}
PADDED = {"pad_token_id": 0}
GEMMA = WIDE | PADDED | {"tie_word_embeddings": True, "num_hidden_layers": 4, "head_dim": 256}
GPT2: dict[str, Any] = {"n_embd": 1280, "n_layer": 6, "n_head": 20, "n_positions": 4096, "vocab_size": 16384}
# widths of published models, with fewer layers and a smaller vocabulary, so that blocks count beside logits
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": WIDE | EVERY_HEAD | {"intermediate_size": 5632},
    "qwen2": WIDE
    | {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2}
    | {"tie_word_embeddings": True},
    "qwen3": WIDE | {"intermediate_size": 6144, "num_attention_heads": 16, "head_dim": 128},
    "mistral": WIDE | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 4, "sliding_window": 1024},
    "gemma": GEMMA | {"intermediate_size": 16384, "num_attention_heads": 8, "num_key_value_heads": 1},
    "gemma2": GEMMA
    | {"hidden_size": 2304, "intermediate_size": 9216, "num_attention_heads": 8, "num_key_value_heads": 4}
    | {"sliding_window": 1024, "query_pre_attn_scalar": 256},
    "gemma3_text": GEMMA
    | {"hidden_size": 1152, "intermediate_size": 6912, "num_attention_heads": 4, "num_key_value_heads": 4}
    | {"sliding_window": 512, "query_pre_attn_scalar": 256, "sliding_window_pattern": 2},
    "phi3": WIDE | EVERY_HEAD | PADDED | {"hidden_size": 3072, "num_hidden_layers": 4},
    "gpt2": GPT2,
    "gpt_neox": WIDE | EVERY_HEAD | {"num_attention_heads": 16},
    "falcon": WIDE | {"new_decoder_architecture": False, "multi_query": True},
    "cohere": WIDE | PADDED,
    "olmo2": WIDE | EVERY_HEAD | PADDED,
    "starcoder2": WIDE
    | {"hidden_size": 3072, "intermediate_size": 12288, "num_attention_heads": 24, "num_key_value_heads": 2}
    | {"num_hidden_layers": 4, "sliding_window": 1024},
    "granite": WIDE,
    "stablelm": WIDE | EVERY_HEAD | {"intermediate_size": 5632},
    "mixtral": WIDE
    | {"hidden_size": 1024, "intermediate_size": 3584, "num_attention_heads": 16, "num_key_value_heads": 4}
    | {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen3_moe": WIDE
    | {"moe_intermediate_size": 768, "num_experts": 32, "num_experts_per_tok": 8, "head_dim": 128}
    | {"num_key_value_heads": 4},
}
GROUPED = tuple(
    name
    for name, config in FAMILIES.items()
    if config.get("num_key_value_heads", 8) < config.get("num_attention_heads", 8)
)
FUSED_EXPERTS = ("mixtral", "qwen3_moe")
WITHOUT_SDPA = ("gemma2",)
SCALED_LOGITS = ("cohere", "gemma2", "granite")  # whose loss cannot be fused with the projection alone
RUNS_OF_A_FAMILY = 18
GPUS = ("a100-80gb", "h100-80gb", "rtx-4090")
STACKS = ("torch", "hf-trainer")
SHAPES = ((1, 2048), (1, 4096), (2, 1024), (2, 2048), (4, 1024), (8, 512))
HALF = (Precision.BF16, Precision.FP16)
PRECISIONS = {
    Method.FULL: (Precision.BF16, Precision.FP32, Precision.AMP_BF16, Precision.MASTER_BF16),
    Method.LORA: (Precision.BF16, Precision.BF16, Precision.AMP_BF16, Precision.FP32),
    Method.QLORA: (Precision.BF16,),
}
KERNELS = (AttentionKernel.SDPA, AttentionKernel.FLASH, AttentionKernel.EFFICIENT, AttentionKernel.EAGER)
OPTIMIZERS = (Optimizer.ADAMW_FOREACH, Optimizer.ADAMW_FUSED, Optimizer.ADAMW_LOOP, Optimizer.SGD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of the grid."""

    family: str
    number: int
    run: TrainRun
    stack: str
    gpu: str

    @property
    def config(self) -> dict[str, Any]:
        """The model's config."""
        return FAMILIES[self.family] | {"model_type": self.family}

    @property
    def name(self) -> str:
        """What differs from case to case, in the words of the command line."""
        run = self.run
        words = [self.family, run.method, run.precision, f"{run.micro_batch}×{run.seq_len}", run.attention]
        words += ["recomputed"] if run.recompute is Recompute.FULL else []
        words += ["autocast"] if run.autocast else []
        words += [f"{run.loss} loss"] if run.loss is not Loss.STOCK else []
        words += [f"rank {run.adapter.rank} {run.adapter.targets[0]}"] if run.adapter else []
        return " ".join([*words, run.optimizer, self.stack, self.gpu])


def grid() -> tuple[Case, ...]:
    """All cases, the same each time."""
    return tuple(case for family in FAMILIES for case in _cases(family))


def _cases(family: str) -> Iterator[Case]:
    dice = random.Random(family)  # noqa: S311 - the same grid each time
    seen = set()
    number = 0
    while number < RUNS_OF_A_FAMILY:
        method = list(Method)[number % 3]
        run = _run(dice, family, method)
        if run in seen:
            continue
        seen.add(run)
        yield Case(family=family, number=number, run=run, stack=dice.choice(STACKS), gpu=dice.choice(GPUS))
        number += 1


def _run(dice: random.Random, family: str, method: Method) -> TrainRun:
    precision = dice.choice(PRECISIONS[method])
    micro_batch, seq_len = dice.choice(SHAPES)
    losses = (Loss.STOCK,) if family in SCALED_LOGITS else (Loss.STOCK, Loss.STOCK, Loss.CHUNKED, Loss.FUSED_LINEAR)
    fp32 = dice.random() < 0.7
    return TrainRun(
        method=method,
        precision=precision,
        optimizer=dice.choice(OPTIMIZERS),
        adapter=_adapter(dice, family, fp32=fp32) if method is not Method.FULL else None,
        quantization=_quantization(dice) if method is Method.QLORA else None,
        seq_len=seq_len,
        micro_batch=micro_batch,
        accum_steps=dice.choice((1, 1, 1, 2)),
        recompute=dice.choice((Recompute.NONE, Recompute.FULL)),
        attention=_attention(dice, family, precision),
        loss=dice.choice(losses),
        autocast=method is not Method.FULL and precision in HALF and (fp32 or dice.random() < 0.5),
    )


def _attention(dice: random.Random, family: str, precision: Precision) -> AttentionKernel:
    """A kernel that can run: flash has no FP32, and no masks, which Falcon passes; efficient has no grouped heads."""
    kernel = dice.choice(KERNELS)
    impossible = {
        AttentionKernel.FLASH: precision is Precision.FP32 or family == "falcon",
        AttentionKernel.EFFICIENT: family in (*GROUPED, *WITHOUT_SDPA),
    }
    return AttentionKernel.SDPA if impossible.get(kernel) else kernel


def _adapter(dice: random.Random, family: str, *, fp32: bool) -> Adapter:
    """Adapters; those on fused experts have no dropout in PEFT."""
    rank, targets = dice.choice((8, 16, 64)), dice.choice((("all-linear",), ("all-linear",), ("attention",)))
    dropout = dice.choice((0.0, 0.05))
    return Adapter(
        rank=rank,
        targets=targets,
        dropout=0.0 if family in FUSED_EXPERTS and targets != ("attention",) else dropout,
        fp32=fp32,
    )


def _quantization(dice: random.Random) -> Quantization:
    return Quantization(format=find_format(dice.choice(("nf4", "nf4-dq"))), upcast=dice.random() < 0.5)
