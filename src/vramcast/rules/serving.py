"""
A served model, the plain case: weights, cache, and the activations of prefill and decode.

Letters: B sequences, T tokens per sequence, n tokens of one forward pass, D hidden, N heads, K KV heads, H head dim,
F ffn width, V vocabulary, Φ parameters.
"""

from typing import NamedTuple

from vramcast.domain.compressed import CompressedAttention
from vramcast.domain.device import Device
from vramcast.domain.exactness import Exactness
from vramcast.domain.forecast import Category, Instant, Part, Phase, Term
from vramcast.domain.layer import Attention, Dense, LatentAttention, Layer, Mixer, MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import FormatKind, NumberFormat
from vramcast.domain.recurrent import LinearAttention, StateSpace
from vramcast.domain.run import AttentionKernel, ServeRun
from vramcast.domain.stack import Stack
from vramcast.domain.weights import Weight, WeightKind
from vramcast.rules.attention_kernel import head_dims, resolve_attention
from vramcast.rules.kv_cache import growing_cache, kv_cache, recurrent_state
from vramcast.rules.parameters import quantized_parameters
from vramcast.rules.workspace import gemm_workspace

HALF = 2
FP32 = 4


class Serving(NamedTuple):
    """The instants of a served model and the bound without reuse between them."""

    instants: tuple[Instant, ...]
    no_reuse: int


def serving(model: ModelSpec, run: ServeRun, stack: Stack, device: Device | None) -> Serving:
    """
    Prefill of all prompts at full length, and decode at full length, the cache full in both.

    Ignores: sampling, several requests at different lengths, CUDA graphs, an engine's own reserves.
    """
    resident = [served_weights(model, run)]
    if not model.layers:
        return Serving((Instant(phase=Phase.LOAD, name="weights loaded", terms=tuple(resident)),), resident[0].bytes)
    resident.append(kv_cache(model, run))
    state = recurrent_state(model, run)
    if state:
        resident.append(state)
    resident.append(gemm_workspace(device, stack, 1))
    capability = device.capability if device else None
    tokens = run.prefill_tokens or run.max_num_seqs * run.max_model_len
    prefill = _activations(model, run, tokens, min(run.max_model_len, tokens), capability, Phase.PREFILL)
    decode = _activations(model, run, run.max_num_seqs, 1, capability, Phase.DECODE)
    logits = _logits(model, run)
    instants = (
        Instant(phase=Phase.PREFILL, name="prefill of all prompts", terms=(*resident, prefill, logits)),
        Instant(
            phase=Phase.DECODE,
            name="decode at full length",
            terms=(*resident, decode, logits, growing_cache(model, run)),
        ),
    )
    return Serving(instants, max(instant.allocated for instant in instants) + decode.bytes)


def served_weights(model: ModelSpec, run: ServeRun) -> Term:
    """
    Weights as served: the checkpoint's own bytes where its headers were read, s·Φ in the checkpoint's format, or quantised
    linears beside half-precision rest.

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
    The tensors that a checkpoint in `number_format` stores in fewer bits: linears for bitsandbytes' codebooks, the experts
    alone for MXFP4 (gpt-oss), linears and experts otherwise (FP8, GPTQ, AWQ).

    Source:   transformers 5.23 quantizers (mxfp4: modules_to_not_convert; finegrained_fp8; bnb_4bit).
    """
    experts = tuple(weight for weight in model.weights if weight.kind is WeightKind.EXPERTS)
    if number_format.kind is FormatKind.CODEBOOK or not experts:
        return model.linears
    return experts if number_format.name == "mxfp4" else (*model.linears, *experts)


def _itemsize(run: ServeRun) -> int:
    """Bytes of one activation: those of the weights' format, never below half precision."""
    return max(HALF, min(FP32, run.weight_format.storage_bits // 8)) if run.weight_format else HALF


def _activations(
    model: ModelSpec, run: ServeRun, tokens: int, keys: int, capability: tuple[int, int] | None, phase: Phase
) -> Term:
    s = _itemsize(run)
    name, widest, pairs = max(
        (_widest(layers.layer, model.hidden_size, s, run, capability) for layers in model.layers),
        key=lambda found: found[1] + keys * found[2],
    )
    return Term(
        bytes=tokens * (widest + keys * pairs),
        category=Category.ACTIVATIONS,
        label=f"widest block of one forward pass ({name})",
        phase=phase,
        formula="n·(x + T·p)",
        values=(("n", tokens), ("x", widest), ("T", keys), ("p", pairs)),
        source="transformers 5.23 modelling code without gradients",
        exactness=Exactness.MODELLED,
    )


def _widest(
    layer: Layer, hidden: int, s: int, run: ServeRun, capability: tuple[int, int] | None
) -> tuple[str, int, int]:
    """The widest moment of one block without gradients: name, bytes per token, bytes per token pair."""
    stream = 2 * s * hidden  # the residual stream and the normed input
    moments = [("norm", stream + FP32 * hidden, 0)]
    moments.extend(_mixer(mixer, stream, s, run, capability) for mixer in layer.mixers)
    match layer.ffn:
        case Dense():
            moments.append(("MLP", stream + s * (3 if layer.ffn.gated else 2) * layer.ffn.width, 0))
        case MixtureOfExperts():
            width = layer.ffn.top_k * (hidden + (3 if layer.ffn.gated else 2) * layer.ffn.width)
            moments.append(("experts", stream + s * width, 0))
        case None:
            pass
    return max(moments, key=lambda moment: moment[1] + run.max_model_len * moment[2])


def _mixer(
    mixer: Mixer, stream: int, s: int, run: ServeRun, capability: tuple[int, int] | None
) -> tuple[str, int, int]:
    match mixer:
        case Attention() | LatentAttention():
            kernel = resolve_attention(run.attention, mixer, run.max_model_len, s, capability)
            key_dim, value_dim = head_dims(mixer)
            kv_heads = mixer.kv_heads if isinstance(mixer, Attention) else mixer.heads
            projected = mixer.heads * key_dim + kv_heads * (key_dim + value_dim)
            turned = mixer.heads * (key_dim + value_dim) + kv_heads * key_dim
            scores = (s + FP32) * mixer.heads if kernel in (AttentionKernel.EAGER, AttentionKernel.MATH) else 0
            return f"attention ({kernel})", stream + s * (projected + turned), scores
        case StateSpace() | LinearAttention():
            return f"recurrent layer ({mixer.variant})", stream + s * mixer.saved_elements_per_token, 0
        case CompressedAttention():
            return "compressed attention", stream + s * 3 * mixer.query_width, 0


def _logits(model: ModelSpec, run: ServeRun) -> Term:
    """Logits of each sequence's last token, and their FP32 copy: B·V·(s + 4)."""
    s = _itemsize(run)
    return Term(
        bytes=run.max_num_seqs * model.vocab_size * (s + FP32),
        category=Category.LOGITS,
        label="logits of the last tokens",
        phase=Phase.DECODE,
        formula="B·V·(s + 4)",
        values=(("B", run.max_num_seqs), ("V", model.vocab_size), ("s", s)),
        source="transformers 5.23 generation/utils.py (logits_to_keep=1)",
    )
