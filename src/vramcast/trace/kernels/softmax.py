"""Softmax and log-softmax."""

from vramcast.trace.kernels.call import Call, bytes_of, copied
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden


@entry("softmax backward", "aten._softmax_backward_data.default", "aten._softmax_backward_data.out")
def softmax_backward(call: Call) -> tuple[Hidden, ...]:
    """
    The product of gradient and output.

    Formula:    elements · itemsize of the gradient; a copy of the output if it is not packed
    Source:     torch aten/src/ATen/native/cuda/SoftMax.cu, softmax_backward_cuda_out (2.6; main, 2024)
    Exactness:  exact
    """
    copy = copied(call["output"])
    return (
        Hidden(bytes_of(call["grad_output"]), "gradient · output"),
        *((Hidden(copy, "output, packed"),) if copy else ()),
    )


@entry(
    "softmax operand copies",
    "aten._softmax.default",
    "aten._log_softmax.default",
    "aten._log_softmax_backward_data.default",
)
def operand_copies(call: Call) -> tuple[Hidden, ...]:
    """
    Packed copies of operands that are not packed.

    Formula:    elements · itemsize of each
    Source:     torch aten/src/ATen/native/cuda/SoftMax.cu, host_softmax, host_softmax_backward (main, 2024)
    Exactness:  exact
    """
    names = ("self",) if "self" in call else ("grad_output", "output")
    sizes = (copied(call[name]) for name in names)
    return tuple(Hidden(size, "operand, packed") for size in sizes if size)


ENTRIES = (softmax_backward, operand_copies)
