"""Forecasts made by hand, so that tests of what shows them stand still when a rule moves."""

from dataclasses import replace

from vramcast.catalog.number_formats import find_format
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Assumption, Category, Forecast, Instant, Part, Phase, Term, Tiers, Verdict
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import (
    Adapter,
    Loss,
    Method,
    Optimizer,
    Precision,
    Quantization,
    Recompute,
    Run,
    ServeRun,
    TrainRun,
)
from vramcast.domain.stack import Stack
from vramcast.sources.resolve import load_model
from vramcast.units import GIB, MIB

STACK = Stack(
    name="trl-sft",
    version="1.16.0",
    checked="2026-11-24",
    source="TRL 1.16 trainer/sft_trainer.py",
    versions=(("torch", "2.13.0"), ("transformers", "5.23.0")),
    defaults=(("optimizer", "adamw-fused"),),
)
DEVICE = Device(
    name="rtx-4090",
    label="NVIDIA GeForce RTX 4090",
    vendor="NVIDIA",
    memory=24 * GIB,
    usable=24081 * MIB,
    usable_exactness=Exactness.EXACT,
    context=428 * MIB,
    context_exactness=Exactness.FITTED,
)
SMALL = replace(DEVICE, name="small", label="a device with 6.00 GiB", usable=6 * GIB)
QLORA = TrainRun(
    method=Method.QLORA,
    precision=Precision.BF16,
    optimizer=Optimizer.ADAMW_FUSED,
    adapter=Adapter(rank=16),
    quantization=Quantization(format=find_format("nf4-dq")),
    seq_len=2048,
    recompute=Recompute.FULL,
    loss=Loss.CHUNKED,
    autocast=True,
)
SERVED = ServeRun(weight_format=find_format("bf16"), kv_format=find_format("fp8-e4m3"), max_model_len=8192)


def llama() -> ModelSpec:
    """Llama 3.1 8B."""
    return load_model("llama-3.1-8b")


def qlora_forecast(device: Device | None = DEVICE, *, high: int = 7988257664) -> Forecast:
    """A QLoRA step of `llama`: every common kind of term, and the peak in a block's backward."""
    resident = (
        Term(
            bytes=5702296448,
            category=Category.PARAMETERS,
            label="frozen weights (NF4, double quantisation, rest half precision)",
            phase=Phase.RESIDENT,
            formula="q·Φ_q + s·Φ_rest",
            values=(("q", 0.515869140625), ("Φ_q", 6979321856), ("s", 2), ("Φ_rest", 1050939392)),
            source="arXiv:2305.14314; transformers 5.23 quantizers; bitsandbytes 0.50",
            ignores="code tables and 512-byte rounding of each tensor",
            parts=(
                Part("quantised weights (NF4, double quantisation)", "q·Φ_q", 3600417664),
                Part("what is not quantised", "s·Φ_rest", 2101878784),
            ),
        ),
        Term(
            bytes=83886080,
            category=Category.PARAMETERS,
            label="adapters (rank 16, half precision)",
            phase=Phase.RESIDENT,
            formula="s·Σ r·(d_in + d_out)",
            values=(("s", 2), ("r", 16), ("Σ r·(d_in + d_out)", 41943040)),
            source="arXiv:2106.09685; PEFT 0.21",
            ignores="512-byte rounding of each tensor",
        ),
        Term(
            bytes=167772160,
            category=Category.OPTIMIZER_STATES,
            label="adamw-fused states",
            phase=Phase.RESIDENT,
            formula="2·s·Φ_t",
            values=(("s", 2), ("Φ_t", 41943040)),
            source="torch/optim/adamw.py",
            ignores="step counters, shared quantisation maps",
        ),
    )
    block = (
        Term(
            bytes=536870912,
            category=Category.ACTIVATIONS,
            label="inputs of blocks 1 to 32",
            phase=Phase.BACKWARD,
            formula="ℓ·B·T·s·D",
            values=(("ℓ", 32), ("B", 1), ("T", 2048), ("s", 2), ("D", 4096)),
            source="torch utils/checkpoint.py",
        ),
        Term(
            bytes=117440512,
            category=Category.TEMPORARY,
            label="one weight, dequantised",
            phase=Phase.BACKWARD,
            formula="s·d_out·d_in",
            values=(("s", 2), ("d_out·d_in", 58720256)),
            source="bitsandbytes 0.50 autograd/_functions.py (MatMul4Bit)",
            exactness=Exactness.MODELLED,
        ),
        Term(
            bytes=1024,
            category=Category.GRADIENTS,
            label="gradients",
            phase=Phase.BACKWARD,
            formula="s·Φ_done",
            values=(("s", 2), ("Φ_done", 512)),
            source="torch accumulate_grad.h",
        ),
    )
    loss = Term(
        bytes=134283264,
        category=Category.LOGITS,
        label="chunked loss",
        phase=Phase.BACKWARD,
        formula="s·min(n, 4096)·32768 + 8·4·n",
        values=(("s", 2), ("n", 2048)),
        source="TRL 1.16 kernels/chunked_logprob.py",
    )
    instants = (
        Instant(phase=Phase.BACKWARD, name="backward of the loss", terms=(*resident, loss)),
        Instant(
            phase=Phase.BACKWARD,
            name="backward of block 32 of 32 (recomputing)",
            terms=(*resident, *block),
        ),
        Instant(phase=Phase.OPTIMIZER_STEP, name="optimizer step", terms=resident),
    )
    assumptions = (
        Assumption(option="stack", value="trl-sft@1.16.0", reason="house default"),
        Assumption(option="optimizer", value="adamw-fused", reason="default of trl-sft 1.16.0"),
        Assumption(option="autocast", value="yes", reason="default of trl-sft 1.16.0"),
        Assumption(option="seq_len", value="2048", reason="house default"),
    )
    return _forecast(llama(), QLORA, device, instants, instants[1], high, assumptions)


def serve_forecast(device: Device | None = None) -> Forecast:
    """`llama` served: weights and cache."""
    terms = (
        Term(
            bytes=16060522496,
            category=Category.PARAMETERS,
            label="weights (BF16)",
            phase=Phase.RESIDENT,
            formula="s·Φ",
            values=(("s", 2), ("Φ", 8030261248)),
            source="closed form of the architecture",
        ),
        Term(
            bytes=536870912,
            category=Category.KV_CACHE,
            label="key and value cache (FP8 E4M3)",
            phase=Phase.RESIDENT,
            formula="q·B·Σ_layers min(T, window)·2·K·H",
            values=(("q", 1.0), ("B", 1), ("T", 8192), ("Σ_layers min(T, window)·2·K·H", 536870912)),
            source="arXiv:1911.02150",
        ),
    )
    instant = Instant(phase=Phase.DECODE, name="decode at full length", terms=terms)
    return _forecast(llama(), SERVED, device, (instant,), instant, 0, ())


def _forecast(
    model: ModelSpec,
    run: Run,
    device: Device | None,
    instants: tuple[Instant, ...],
    peak: Instant,
    high: int,
    assumptions: tuple[Assumption, ...],
) -> Forecast:
    context = Term(
        bytes=428 * MIB,
        category=Category.RUNTIME,
        label="CUDA context",
        phase=Phase.RESIDENT,
        formula="context",
        values=(("context", 428 * MIB),),
        source="catalog row of rtx-4090",
        exactness=Exactness.FITTED,
    )
    idle = Term(
        bytes=32 * MIB,
        category=Category.FRAGMENTATION,
        label="freed blocks too small for what is asked next",
        phase=Phase.RESIDENT,
        formula="idle",
        values=(("idle", 32 * MIB),),
        source="torch CUDACachingAllocator.cpp",
        exactness=Exactness.MODELLED,
    )
    process = peak.allocated + idle.bytes + context.bytes
    high = max(high, process)
    return Forecast(
        model=model,
        run=run,
        stack=STACK,
        device=device,
        tiers=Tiers(
            allocated=peak.allocated,
            reserved=peak.allocated + idle.bytes,
            process=process,
            low=process - idle.bytes,
            high=high,
        ),
        terms=(*peak.terms, idle, context),
        instants=instants,
        peak=peak,
        verdict=_verdict(process, high, device) if device else None,
        assumptions=assumptions,
        unmodelled=("torch.compile", "other processes and the display on the same device"),
    )


def _verdict(process: int, high: int, device: Device) -> Verdict:
    status = "does not fit" if process > device.usable else "tight" if high > device.usable else "fits"
    return Verdict(status=status, capacity=device.usable, headroom=device.usable - process)  # type: ignore[arg-type]
