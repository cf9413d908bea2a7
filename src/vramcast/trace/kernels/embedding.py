"""Gradient of an embedding."""

from vramcast.trace.kernels.call import Call, bytes_of, copied
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden

FEW_TOKENS = 3072
ROWS_PER_PART = 10


@entry("embedding backward", "aten.embedding_dense_backward.default")
def embedding_backward(call: Call) -> tuple[Hidden, ...]:
    """
    Sorted tokens, and partial sums of the gradients of equal tokens in fp32.

    Formula:    nothing up to 3,072 tokens T; else with U = min(T, V) and P = floor(T / 10) + U:
                P · D · 4 B (8 B in fp64) + (3 · T + 2 · U + P) · itemsize of the tokens; scale_grad_by_freq: one more T
    Source:     torch aten/src/ATen/native/cuda/Embedding.cu, EmbeddingBackwardKernel.cu (main, 2026)
    Exactness:  exact
    Ignores:    what the sort needs, gone before the larger partial sums; the kernel of newer versions for vocabularies
                below about T / 30, which has no partial sums
    """
    gradient, indices, width = call["grad_output"], call["indices"], call["grad_output"].shape[-1]
    tokens = indices.numel()
    gradient_copy = copied(gradient)
    copies = (Hidden(gradient_copy, "gradient, packed", before=True),) if gradient_copy else ()
    if tokens <= FEW_TOKENS and not call["scale_grad_by_freq"]:
        return copies
    present = min(tokens, call["num_weights"])
    parts = tokens // ROWS_PER_PART + present
    number = bytes_of(indices) // tokens
    sorted_tokens = 2 + bool(call["scale_grad_by_freq"])
    return (
        *copies,
        *([Hidden(tokens * number, "tokens, sorted", before=True)] * sorted_tokens),
        Hidden(tokens * number, "where equal tokens begin"),
        Hidden(present * number, "parts per token"),
        Hidden(present * number, "first part of a token"),
        Hidden(parts * number, "where parts begin"),
        Hidden(parts * width * max(4, gradient.element_size()), "partial sums of gradients"),
    )


ENTRIES = (embedding_backward,)
