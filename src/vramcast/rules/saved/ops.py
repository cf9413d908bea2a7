"""
The two things every operator rule gives: what it saves for backward, and what its backward allocates.

Letters: B micro-batch, T tokens per sequence, D hidden, r adapter rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vramcast.rules.sizes import Sizes

HALF = 2
FULL = 4


@dataclass(frozen=True, slots=True)
class Saved:
    """
    Bytes that an operator keeps for backward: `per_token`, times B · T, and `per_pair`, times B · T².

    `core` marks what lies inside attention and is recomputed when only that is.
    """

    op: str
    formula: str
    per_token: int
    per_pair: int = 0
    core: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """
    A part of a block, in forward order, with the two moments of its backward that can be the worst.

    Attributes:
        name: what runs; saved: what it keeps.
        output: bytes per token beyond `saved` while the output projection's backward runs, which is also when a quantised
            weight lies dequantised (`dequantized` elements).
        forward: bytes per token beyond `saved` while the output projection runs forward; counts where a block is recomputed.
        inner: bytes per token beyond `saved` at the worst moment inside (the product's or the kernel's backward);
            inner_pairs: the same per B · T².
        inner_name: what runs then.
        output_grads: parameters of the output projection, whose gradients exist at both moments.
        parameters: parameters of the segment.
    """

    name: str
    saved: tuple[Saved, ...]
    output: int
    inner: int
    inner_name: str
    forward: int = 0
    inner_pairs: int = 0
    dequantized: int = 0
    output_grads: int = 0
    parameters: int = 0


def linear_inputs(
    sizes: Sizes, names: Sequence[str], width: int, itemsize: int, letter: str, *, held: bool = False
) -> tuple[Saved, ...]:
    """
    What the linears `names`, which read one input of `width` elements, keep of it.

    A trained weight keeps the input: once if the types agree, one cast copy for each linear under autocast. A frozen
    weight keeps nothing. An adapter keeps its own copy when its type differs or it drops inputs, else shares the input;
    and the r values that its second matrix reads.

    Formula:  Σ itemsize · width (+ r · itemsize for each adapter, + 1 · width for each dropout mask)
    Source:   torch derivatives of linear; PEFT 0.21 tuners/lora/layer.py and bnb.py; autocast caches no activations.
    Ignores:  linears that some other operator's saved tensor happens to alias, except where `held` says so.
    """
    saved: list[Saved] = []
    shared = held
    if sizes.trains_weights:
        if sizes.autocast and itemsize != sizes.compute:
            copies = len(names)
            saved.append(
                Saved(
                    f"input of {', '.join(names)}", f"{copies}·{sizes.compute}·{letter}", copies * sizes.compute * width
                )
            )
        elif not shared:
            saved.append(Saved(f"input of {', '.join(names)}", f"{itemsize}·{letter}", itemsize * width))
            shared = True
    adapted = [name for name in names if name in sizes.adapted]
    if adapted:
        saved.extend(_adapter_inputs(sizes, adapted, width, itemsize, letter, shared=shared))
    return tuple(saved)


def _adapter_inputs(
    sizes: Sizes, names: list[str], width: int, itemsize: int, letter: str, *, shared: bool
) -> tuple[Saved, ...]:
    copy = sizes.compute if sizes.autocast else sizes.adapter
    converted = itemsize != copy or (not sizes.quantized and sizes.adapter != copy)
    count = len(names) if converted or sizes.adapter_dropout else 0 if shared else 1
    saved = []
    if count:
        saved.append(Saved(f"adapter input of {', '.join(names)}", f"{count}·{copy}·{letter}", count * copy * width))
    if sizes.adapter_dropout:
        saved.append(Saved("adapter dropout masks", f"{len(names)}·{letter}", len(names) * width))
    saved.append(
        Saved("input of the adapters' second matrix", f"{len(names)}·{copy}·r", len(names) * copy * sizes.rank)
    )
    return tuple(saved)


def projecting(sizes: Sizes, name: str, width: int, itemsize: int, *, held: bool, norm_fp32: bool) -> int:
    """
    Bytes per token that live while the output projection `name` runs forward, beyond what it saves.

    Formula:  itemsize·w (its input, if nothing saves it) + 4·w (PEFT's FP32 copy on the way to autocast's,
              and as much again for what dropout makes of it)
              + s·w (bitsandbytes' cast of an FP32 input) + s·D (the result) + s·D (the residual, if the norm saved a copy
              of it instead) + s·D (the branch's input, if frozen linears do not save it)
    Source:   PEFT 0.21 tuners/lora/layer.py (_cast_input_dtype), bnb.py; bitsandbytes 0.50 Linear4bit; live storages of
              a real step on torch 2.13.
    """
    kept_input = sizes.trains_weights and not (sizes.autocast and itemsize != sizes.compute)
    size = sizes.branch * sizes.hidden
    if not (held or kept_input):
        size += itemsize * width
    if name in sizes.adapted and not sizes.quantized and sizes.autocast and sizes.adapter == FULL:
        size += FULL * width * (2 if sizes.adapter_dropout else 1)
    if sizes.quantized and itemsize != sizes.compute:
        size += sizes.compute * width
    if norm_fp32:
        size += sizes.stream * sizes.hidden
    if not sizes.trains_weights:
        size += sizes.stream * sizes.hidden
    return size


def total(saved: Sequence[Saved], micro_batch: int, seq_len: int) -> int:
    """Bytes of `saved` for B sequences of T tokens: B·T·Σ per_token + B·T²·Σ per_pair."""
    tokens = micro_batch * seq_len
    return tokens * (sum(s.per_token for s in saved) + seq_len * sum(s.per_pair for s in saved))
