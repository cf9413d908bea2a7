"""
Losses that never hold all logits: chunked over tokens and vocabulary, or fused with the output projection.

They allocate, keep and free what the kernels of TRL and Liger do; nothing is computed.

Source: TRL 1.16 kernels/chunked_logprob.py (`ChunkedLogProbFunction`); Liger ops/fused_linear_cross_entropy.py.
Ignores: that the last token of a sequence has no label.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Loss

TILE_TOKENS, TILE_VOCAB = 4096, 32768
STATISTICS = 7  # FP32 figures a token that the chunked loss folds its tiles into


def loss_without_logits(model: nn.Module, kind: Loss, ids: Tensor, labels: Tensor, begin: Callable[[], None]) -> Tensor:
    """
    The loss of `model` on `ids`, its last hidden state multiplied by the output projection piece by piece.

    `begin` is called when the hidden state is there.

    Raises:
        UnsupportedError: the projection is no plain linear layer.
    """
    causal: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    head = causal.get_output_embeddings()
    if type(head) is not nn.Linear:
        raise UnsupportedError(f"{kind} loss over a head of class {type(head).__name__}", "--loss stock")
    hidden = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
    begin()
    if kind is Loss.CHUNKED:
        rows, columns = (torch.zeros(ids.numel(), dtype=torch.long, device=ids.device) for _ in range(2))
        gathered, targets = hidden[rows, columns], labels[rows, columns]
        logprobs: Tensor = _Chunked.apply(gathered, head.weight, targets)
        return -logprobs.sum() / ids.numel()
    total: Tensor = _FusedLinear.apply(hidden.reshape(-1, hidden.shape[-1]), head.weight, labels.reshape(-1))
    return total


def _compute_dtype(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


class _Chunked(torch.autograd.Function):
    """Log-probabilities from tiles of 4,096 tokens by 32,768 entries; the backward makes each tile again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        ctx.compute = _compute_dtype(hidden)
        tokens = hidden.shape[0]
        folded = [torch.zeros(tokens, dtype=torch.float32, device=hidden.device) for _ in range(STATISTICS)]
        tile = _tile(hidden, ctx.compute)
        for rows in hidden.split(TILE_TOKENS):
            chunk = rows.to(ctx.compute)
            for entries in weight.split(TILE_VOCAB):
                torch.mm(chunk, entries.to(ctx.compute).t(), out=tile[: len(chunk), : len(entries)])
        log_z = folded[0] + torch.log(folded[1])
        logprobs = folded[2] - log_z
        ctx.save_for_backward(hidden, weight, targets, log_z)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        hidden, weight, _, _ = ctx.saved_tensors
        wants_hidden, wants_weight, _ = ctx.needs_input_grad
        into_hidden = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device) if wants_hidden else None
        into_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if wants_weight else None
        tile = _tile(hidden, ctx.compute)
        given = gradients[0].float().contiguous()
        for rows in hidden.split(TILE_TOKENS):
            chunk = rows.to(ctx.compute)
            for entries in weight.split(TILE_VOCAB):
                part = entries.to(ctx.compute)
                torch.mm(chunk, part.t(), out=tile[: len(chunk), : len(entries)])
        del given
        return (
            None if into_hidden is None else into_hidden.to(hidden.dtype),
            None if into_weight is None else into_weight.to(weight.dtype),
            None,
        )


def _tile(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty((min(hidden.shape[0], TILE_TOKENS), TILE_VOCAB), dtype=dtype, device=hidden.device)


class _FusedLinear(torch.autograd.Function):
    """Loss and gradients in the forward pass, chunk by chunk; the gradient of a chunk's logits overwrites them."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        compute = _compute_dtype(hidden)
        hidden, cast = hidden.to(compute), weight.to(compute)
        tokens, width = hidden.shape
        pieces = -(-weight.shape[0] // width)
        chunk = 1 << (-(-tokens // pieces) - 1).bit_length()
        into_hidden = torch.zeros_like(hidden)
        into_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        losses = torch.zeros(tokens, dtype=torch.float32, device=hidden.device)
        for rows, into in zip(hidden.split(chunk), into_hidden.split(chunk), strict=True):
            logits = rows @ cast.t()
            torch.mm(logits, cast, out=into)
            if into_weight is not None:
                into_weight += torch.mm(logits.t(), rows)
        ctx.save_for_backward(into_hidden, into_weight)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        into_hidden, into_weight = ctx.saved_tensors
        return into_hidden, into_weight, None
