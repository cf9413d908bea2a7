"""
Losses that never hold all logits: chunked over tokens and vocabulary, or fused with the output projection.

They allocate, keep and free what those of TRL and Liger do on CUDA, in the same order; nothing is computed.

Source: TRL 1.16 trainer/utils.py (`add_fused_lm_head`), trainer/sft_trainer.py (`compute_loss`), kernels/chunked_logprob.py;
Liger 0.8.2 transformers/model/loss_utils.py, ops/fused_linear_cross_entropy.py.
"""

from collections.abc import Callable
from typing import Any

import torch
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.nn.functional import pad

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Loss

TILE_TOKENS, TILE_VOCAB = 4096, 32768
STATISTICS = 7  # FP32 figures a token that the chunked loss folds its tiles into
IGNORED = -100
ADAPTER = "default"  # PEFT's name for the only one
HALF = (torch.float16, torch.bfloat16)


def loss_without_logits(model: nn.Module, kind: Loss, ids: Tensor, labels: Tensor, begin: Callable[[], None]) -> Tensor:
    """
    The loss of `model` on `ids`, its last hidden state multiplied by the output projection piece by piece.

    `begin` is called when the hidden state is there.

    Raises:
        UnsupportedError: the projection is no plain linear layer.
    """
    causal: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    head = causal.get_output_embeddings()
    if isinstance(head, ModulesToSaveWrapper):
        head = head.modules_to_save[ADAPTER]
    if type(head) is not nn.Linear:
        raise UnsupportedError(f"{kind} loss over a head of class {type(head).__name__}", "--loss stock")
    hidden = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
    begin()
    return (_chunked if kind is Loss.CHUNKED else _fused)(hidden, head.weight, labels)


def _chunked(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """TRL's: the tokens that have a label are gathered; every one but the last of a sequence has one."""
    hidden, labels = hidden[:, :-1], labels[:, 1:]
    mask = labels != IGNORED
    logprobs, entropy, is_best = _Chunked.apply(_selected(hidden), weight, _selected(labels))
    logprobs, entropy, is_best = (
        one.new_zeros(mask.shape).masked_scatter(mask, one) for one in (logprobs, entropy, is_best)
    )
    within = -logprobs.sum() / mask.sum().clamp(min=1)
    losses = -logprobs
    loss: Tensor = losses.sum() / mask.sum().clamp(min=1)
    del within
    return loss


def _selected(rows: Tensor) -> Tensor:
    """What a mask that is true everywhere selects: on a device its places are looked up first."""
    batch, tokens = rows.shape[:2]
    places = torch.zeros(batch * tokens, 2, dtype=torch.long, device=rows.device)
    return rows[places.unbind(1)]


def _fused(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Liger's: labels are shifted instead of hidden states."""
    shifted = pad(labels, (0, 1), value=IGNORED)[..., 1:].contiguous()
    loss: Tensor = _FusedLinear.apply(hidden.view(-1, hidden.shape[-1]), weight, shifted.view(-1))
    return loss


def _compute_dtype(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


class _Chunked(torch.autograd.Function):
    """Log-probabilities from tiles of 4,096 tokens by 32,768 entries; the backward makes each tile again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
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
        entropy = log_z - folded[3] / folded[1]
        is_best = (folded[2] >= folded[0]) & (folded[2] > folded[4])
        ctx.save_for_backward(hidden, weight, targets, log_z, entropy)
        ctx.mark_non_differentiable(is_best)
        return logprobs, entropy, is_best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        hidden, weight, _, _, _ = ctx.saved_tensors
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
        tokens, width = hidden.shape
        pieces = -(-weight.shape[0] // width)
        size = 1 << (-(-tokens // pieces) - 1).bit_length()
        into_hidden = torch.zeros_like(hidden)
        into_weight = torch.zeros_like(weight) if weight.requires_grad else None
        losses = torch.zeros(tokens, dtype=torch.float32, device=hidden.device)
        labelled = targets != IGNORED
        labelled.sum()
        logits = None
        for start in range(0, tokens, size):
            rows = hidden[start : start + size]
            logits = rows @ weight.t()  # those of the chunk before are still there
            into_hidden[start : start + size] = logits @ weight
            if into_weight is not None:
                _add_product(into_weight, logits.t(), rows)
        ctx.save_for_backward(into_hidden.detach(), None if into_weight is None else into_weight.detach())
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        into_hidden, into_weight = ctx.saved_tensors
        return into_hidden, into_weight, None


def _add_product(into: Tensor, logits: Tensor, rows: Tensor) -> None:
    """An FP32 gradient of half-precision logits is added to by the product itself; another one gets an FP32 product."""
    if into.dtype is torch.float32 and logits.dtype in HALF:
        rows.to(logits.dtype)
    else:
        into += torch.mm(logits, rows).float()
