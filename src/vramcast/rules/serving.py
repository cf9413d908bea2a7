"""
A served model, the plain case: weights, cache, and the activations of prefill and decode.

Letters: B sequences, T tokens per sequence, c tokens that one forward pass reads of each, D hidden, V vocabulary,
Φ parameters.
"""

from collections.abc import Iterator
from typing import NamedTuple

from vramcast.domain.attention import Attention, LatentAttention
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Instant, Part, Phase, Term
from vramcast.domain.layer import Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import FormatKind, NumberFormat
from vramcast.domain.run import ServeRun
from vramcast.domain.stack import Stack
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.attention_kernel import asked_attention
from vramcast.rules.beyond import refuse
from vramcast.rules.forward_widths import Reading, block_widths, mask_bytes
from vramcast.rules.kv_cache import growing_cache, held_tokens, kv_cache, recurrent_state
from vramcast.rules.parameters import quantizable, quantized_parameters
from vramcast.rules.workspace import gemm_workspace

HALF = 2
FP32 = 4
FUSED_ROWS = 4  # tokens up to which bitsandbytes multiplies 4-bit weights without laying them out


class Serving(NamedTuple):
    """The instants of a served model and the bound without reuse between them."""

    instants: tuple[Instant, ...]
    no_reuse: int


class _Pass(NamedTuple):
    """One forward pass over B sequences of T tokens, of which it reads the last c; `device` is what it runs on."""

    model: ModelSpec
    run: ServeRun
    read: int
    device: Device | None
    phase: Phase

    @property
    def tokens(self) -> int:
        """B · c."""
        return self.run.max_num_seqs * self.read

    @property
    def reading(self) -> Reading:
        """What decides about kernels."""
        return Reading(
            asked=asked_attention(self.run.attention, self.model),
            capability=self.device.capability if self.device else None,
            itemsize=_itemsize(self.model, self.run),
            seq_len=self.run.max_model_len,
            single=self.read == 1,
        )

    def cached(self, window: int | None) -> int:
        """Tokens of all sequences that a layer with this window attends to."""
        return self.run.max_num_seqs * held_tokens(window, self.run.max_model_len, self.read)

    def pairs(self, window: int | None) -> int:
        """Read tokens times the cached ones that each may see."""
        return self.read * self.cached(window)


def serving(model: ModelSpec, run: ServeRun, stack: Stack, device: Device | None) -> Serving:
    """
    Prefill of all prompts at full length, and decode at full length, the cache full in both.

    Ignores: sampling, several requests at different lengths, CUDA graphs, an engine's own reserves, token ids and position
             tables.

    Raises:
        UnsupportedError: a static cache.
    """
    refuse(run)
    weights = served_weights(model, run)
    if not model.layers:
        return Serving((Instant(phase=Phase.LOAD, name="weights loaded", terms=(weights,)),), weights.bytes)
    state = recurrent_state(model, run)
    resident = (weights, *((state,) if state else ()), gemm_workspace(device, stack, 1))
    prefill = _Pass(model, run, _prefill_tokens(run), device, Phase.PREFILL)
    decode = _Pass(model, run, 1, device, Phase.DECODE)
    instants = (*_prefill(prefill, resident), *_decode(decode, resident))
    apart = sum(sum(term.bytes for term in _block(one)) for one in (prefill, decode))
    held = max(sum(term.bytes for term in (*resident, kv_cache(model, run, one.read))) for one in (prefill, decode))
    return Serving(instants, max(held + apart, *(instant.allocated for instant in instants)))


def _prefill_tokens(run: ServeRun) -> int:
    """Tokens of each sequence that one pass of prefill reads: all, or its share of `prefill_tokens`."""
    if run.prefill_tokens is None:
        return run.max_model_len
    return min(run.max_model_len, -(-run.prefill_tokens // run.max_num_seqs))


def _prefill(one: _Pass, resident: tuple[Term, ...]) -> Iterator[Instant]:
    held = (*resident, kv_cache(one.model, one.run, one.read))
    yield Instant(phase=one.phase, name="prefill of all prompts", terms=(*held, *_block(one)))
    hidden = _last_hidden_state(one)
    yield Instant(phase=one.phase, name="logits of the first tokens", terms=(*held, hidden, _logits(one)))


def _decode(one: _Pass, resident: tuple[Term, ...]) -> Iterator[Instant]:
    held = (*resident, kv_cache(one.model, one.run))
    scores = _previous_scores(one)
    growing = growing_cache(one.model, one.run)
    yield Instant(phase=one.phase, name="appending to the cache", terms=(*held, scores, growing))
    yield Instant(phase=one.phase, name="decode at full length", terms=(*held, scores, *_block(one)))
    yield Instant(phase=one.phase, name="logits of the next tokens", terms=(*held, scores, _logits(one)))


def served_weights(model: ModelSpec, run: ServeRun) -> Term:
    """
    Weights as served: the checkpoint's own bytes, s·Φ in its format, or quantised linears beside a half-precision rest.

    Formula:  Σ bytes in the headers;  s·Φ;  q·Φ_lin + 2·Φ_rest
    Source:   safetensors headers; `quantized_parameters`.
    """
    if run.weight_format is None:
        size = sum(count for _, count in model.stored)
        parts = tuple(Part(f"tensors in {name}", "header", count) for name, count in model.stored)
        return Term(
            bytes=size,
            category=Category.PARAMETERS,
            label="weights as stored in the checkpoint",
            phase=Phase.RESIDENT,
            formula="Σ bytes in the headers",
            source="safetensors headers",
            parts=parts,
        )
    if run.weight_format.bits_per_value < 16:
        return quantized_parameters(
            model, run.weight_format, HALF, "weights", quantized_weights(model, run.weight_format)
        )
    itemsize = run.weight_format.storage_bits // 8
    return Term(
        bytes=itemsize * model.parameters,
        category=Category.PARAMETERS,
        label=f"weights ({run.weight_format.label})",
        phase=Phase.RESIDENT,
        formula="s·Φ",
        values=(("s", itemsize), ("Φ", model.parameters)),
        source=model.source or "closed form of the architecture",
        ignores="512-byte rounding of each tensor",
    )


def quantized_weights(model: ModelSpec, number_format: NumberFormat) -> tuple[Weight, ...]:
    """
    The tensors that a checkpoint in `number_format` stores in fewer bits.

    Linears for bitsandbytes' codebooks, the experts alone for MXFP4 (gpt-oss), linears and experts otherwise (FP8, GPTQ,
    AWQ).

    Source:   transformers 5.23 quantizers (mxfp4: modules_to_not_convert; finegrained_fp8; bnb_4bit).
    """
    experts = tuple(weight for weight in model.weights if weight.kind is WeightKind.EXPERTS)
    if number_format.kind is FormatKind.CODEBOOK:
        return quantizable(model)
    if not experts:
        return model.linears
    return experts if number_format.name == "mxfp4" else (*model.linears, *experts)


def _itemsize(model: ModelSpec, run: ServeRun) -> int:
    """Bytes of one activation: those of the weights' format, never below half precision."""
    if run.weight_format is None:
        return FP32 if model.dtype == "fp32" else HALF
    return max(HALF, min(FP32, run.weight_format.storage_bits // 8))


def _block(one: _Pass) -> tuple[Term, ...]:
    """What the widest moment of a block holds, beside the masks of all layers and a weight that is laid out."""
    return tuple(term for term in (_widest(one), _masks(one), _dequantized(one)) if term.bytes)


def _widest(one: _Pass) -> Term:
    reading = one.reading
    moments = (
        (width.bytes(one.tokens, cached := one.cached(_window(mixer)), one.read * cached), cached, width)
        for run in one.model.layers
        for mixer, width in block_widths(run.layer, one.model.hidden_size, reading)
    )
    size, cached, width = max(moments, key=lambda moment: moment[0])
    return Term(
        bytes=size,
        category=Category.ACTIVATIONS,
        label=f"widest block of one forward pass ({width.name})",
        phase=one.phase,
        formula="n·x + m·z + c·m·p" if width.key or width.pair else "n·x",
        values=(
            ("n", one.tokens),
            ("x", width.token),
            *((("m", cached), ("z", width.key), ("c", one.read), ("p", width.pair)) if width.key or width.pair else ()),
        ),
        source="transformers 5.23 modelling code without gradients",
        exactness=Exactness.MODELLED,
    )


def _window(mixer: Mixer | None) -> int | None:
    return mixer.window if isinstance(mixer, Attention | LatentAttention) else None


def _masks(one: _Pass) -> Term:
    return Term(
        bytes=mask_bytes(one.model, one.reading, one.pairs),
        category=Category.ACTIVATIONS,
        label="attention masks",
        phase=one.phase,
        formula="Σ_patterns s·B·c·min(T, window - 1 + c)",
        values=(("B", one.run.max_num_seqs), ("c", one.read), ("T", one.run.max_model_len)),
        source="transformers 5.23 masking_utils.py",
        exactness=Exactness.MODELLED,
    )


def _dequantized(one: _Pass) -> Term:
    """
    The largest 4-bit weight, laid out whole for the product with many tokens.

    Formula:  s·d_out·d_in for passes over more than 4 tokens
    Source:   bitsandbytes 0.50 cuda/ops.py (gemm_4bit).
    Ignores:  devices whose fused kernel takes up to 1,536 tokens.
    """
    number_format = one.run.weight_format
    laid_out = number_format is not None and number_format.kind is FormatKind.CODEBOOK and one.tokens > FUSED_ROWS
    numel = max((w.numel for w in quantizable(one.model)), default=0) if laid_out else 0
    return Term(
        bytes=HALF * numel,
        category=Category.TEMPORARY,
        label="one weight, dequantised",
        phase=one.phase,
        formula="s·d_out·d_in",
        values=(("s", HALF), ("d_out·d_in", numel)),
        source="bitsandbytes 0.50 cuda/ops.py (gemm_4bit)",
        exactness=Exactness.MODELLED,
    )


def _last_hidden_state(one: _Pass) -> Term:
    """The output of the model for every token that the pass read: s·n·D."""
    s, hidden = _itemsize(one.model, one.run), one.model.hidden_size
    return Term(
        bytes=s * one.tokens * hidden,
        category=Category.ACTIVATIONS,
        label="last hidden state",
        phase=one.phase,
        formula="s·n·D",
        values=(("s", s), ("n", one.tokens), ("D", hidden)),
        source="transformers 5.23 modeling_llama.py",
    )


def _logits(one: _Pass) -> Term:
    """Logits of each sequence's last token, and their FP32 copy: B·V·(s + 4)."""
    s = _itemsize(one.model, one.run)
    return Term(
        bytes=one.run.max_num_seqs * one.model.vocab_size * (s + FP32),
        category=Category.LOGITS,
        label="logits of the last tokens",
        phase=one.phase,
        formula="B·V·(s + 4)",
        values=(("B", one.run.max_num_seqs), ("V", one.model.vocab_size), ("s", s)),
        source="transformers 5.23 generation/utils.py (logits_to_keep=1)",
    )


def _previous_scores(one: _Pass) -> Term:
    """The FP32 scores of the step before, which generation holds until it has new ones: 4·B·V."""
    return Term(
        bytes=FP32 * one.run.max_num_seqs * one.model.vocab_size,
        category=Category.LOGITS,
        label="scores of the step before",
        phase=one.phase,
        formula="4·B·V",
        values=(("B", one.run.max_num_seqs), ("V", one.model.vocab_size)),
        source="transformers 5.23 generation/utils.py (_sample)",
    )
