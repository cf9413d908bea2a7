"""Workspaces of the matrix libraries, and the operands they copy."""

from torch import Tensor

from vramcast.domain.forecast import Category
from vramcast.trace.kernels.call import Call, bytes_of, is_contiguous, is_dense
from vramcast.trace.kernels.registry import entry
from vramcast.trace.kernels.target import Hidden, Target
from vramcast.units import KIB, MIB

SMALL_WORKSPACE = 8 * MIB + 128 * KIB
LARGE_WORKSPACE = 32 * MIB
LARGE_SINCE = {9: (2, 0), 10: (2, 12), 11: (2, 14), 12: (2, 12)}
LT_WORKSPACE = 1 * MIB


def blas_workspace(target: Target) -> int:
    """Bytes of one cuBLAS workspace: 32 MiB from Hopper on (and there from some version of torch on), else 8.125 MiB."""
    since = LARGE_SINCE.get(target.device[0])
    return LARGE_WORKSPACE if since and target.torch >= since else SMALL_WORKSPACE


def workspace(target: Target, *, lt: bool) -> Hidden:
    """The workspace of one call: kept with the handle, or for this call; cuBLASLt's own is smaller, and shared if kept."""
    if target.kept_workspace:
        return Hidden(blas_workspace(target), "cuBLAS workspace", category=Category.WORKSPACE, kept="cuBLAS")
    if lt:
        return Hidden(LT_WORKSPACE, "cuBLASLt workspace", category=Category.WORKSPACE)
    return Hidden(blas_workspace(target), "cuBLAS workspace", category=Category.WORKSPACE)


@entry(
    "gemm workspace",
    "aten.mm.default",
    "aten.mm.out",
    "aten.mm.dtype",
    "aten.bmm.default",
    "aten.bmm.out",
    "aten.bmm.dtype",
    "aten.addmm.default",
    "aten.addmm.out",
    "aten.addmm.dtype",
    "aten.addmm_.default",
    "aten._addmm_activation.default",
    "aten.baddbmm.default",
    "aten.baddbmm.out",
    "aten.baddbmm.dtype",
    "aten.baddbmm_.default",
    "aten.addbmm.default",
    "aten.mv.default",
    "aten.addmv.default",
    "aten.linear.default",
    "aten.matmul.default",
)
def gemm_workspace(call: Call) -> tuple[Hidden, ...]:
    """
    What cuBLAS computes in.

    Formula:    32 MiB on compute capability 9 (10 and 12 from torch 2.12, 11 from 2.14), else 8,519,680 B; kept per handle
                (thread) and stream up to torch 2.14, per call from 2.15; then with a bias (cuBLASLt) 1 MiB
    Source:     torch aten/src/ATen/cuda/CublasHandlePool.cpp, CUDABlas.cpp (2.6), native/cuda/Blas.cpp, isInputCompliesAddmmCudaLt
                (main, 2026); behaviour of the released wheels 2.12-2.15
    Exactness:  exact
    Ignores:    CUBLAS_WORKSPACE_CONFIG, CUBLASLT_WORKSPACE_SIZE; 2.7 to 2.11 on capability 10 and 12 are taken as 2.6;
                cuBLASLt's own 1 MiB before it shared cuBLAS's
    """
    first = call["input"] if "input" in call else call["self"]
    result = call.outputs
    if not result.is_floating_point() or result.numel() == 0 or first.numel() == 0:
        return ()
    return (workspace(call.target, lt=_with_bias(call, first)),)


def _with_bias(call: Call, first: Tensor) -> bool:
    """cuBLASLt adds a vector that is the bias of a linear layer, if no side of the operands is one."""
    if "bias" in call:
        bias = call["bias"]
        flat = first.dim() == 2 or (first.dim() == 3 and is_contiguous(first))
        sides = (first.numel() // first.shape[-1], *call["weight"].shape)
        return bias is not None and flat and 1 not in sides
    if "mat1" not in call or call["beta"] != 1:
        return False
    sides = (*call["mat1"].shape, *call["mat2"].shape)
    vector = first.numel() == first.shape[-1] == sides[-1] and is_contiguous(first)
    return 1 not in sides and (vector or "use_gelu" in call)


@entry("lt workspace", "aten._scaled_mm.default", "aten._int_mm.default")
def lt_workspace(call: Call) -> tuple[Hidden, ...]:
    """
    What cuBLASLt computes in, for 8-bit operands.

    Formula:    the kept cuBLAS workspace up to torch 2.14, 1 MiB per call from 2.15
    Source:     torch aten/src/ATen/cuda/CUDABlas.cpp (2.6); behaviour of the released wheels 2.12-2.15
    Exactness:  exact
    Ignores:    CUBLASLT_WORKSPACE_SIZE
    """
    return (workspace(call.target, lt=True),) if call.outputs.numel() else ()


@entry("grouped gemm workspace", "aten._grouped_mm.default")
def grouped_workspace(call: Call) -> tuple[Hidden, ...]:
    """
    Below Hopper groups are multiplied one after the other by cuBLAS; on capability 9 and 10 one kernel takes lists of them.

    Formula:    capability 9, 10 and bf16: 24 B · G rounded up to even + 36 B · G for G groups; else the cuBLAS workspace
    Source:     torch aten/src/ATen/native/cuda/GroupMM.cu (main, 2025)
    Exactness:  modelled
    Ignores:    CUTLASS's own workspace (some bytes a multiprocessor); results of single groups before they are joined
    """
    first, second = call["self"], call["mat2"]
    if call.target.device[0] not in {9, 10} or first.element_size() != 2:
        return (workspace(call.target, lt=False),)
    groups = call["offs"].shape[0] if call["offs"] is not None else first.shape[0]
    if second.dim() == 3:
        groups = second.shape[0]
    return (Hidden(24 * (groups + groups % 2) + 36 * groups, "lists of groups"),)


@entry(
    "gemm operand copies",
    "aten.mm.default",
    "aten.addmm.default",
    "aten.bmm.default",
    "aten.baddbmm.default",
)
def operand_copies(call: Call) -> tuple[Hidden, ...]:
    """
    A packed copy of an operand whose rows and columns both have strides above one.

    Formula:    bytes of the operand, if neither of its last two strides is 1 with the other at least the row's length
    Source:     torch aten/src/ATen/native/cuda/Blas.cpp, prepare_matrix_for_cublas, prepare_batch_matrix_for_cublas (main, 2021)
    Exactness:  exact
    """
    names = ("mat1", "mat2") if "mat1" in call else ("batch1", "batch2") if "batch1" in call else ("self", "mat2")
    operands = [call[name] for name in names]
    return tuple(Hidden(bytes_of(one), "operand, packed") for one in operands if one.numel() and not _fits(one))


def _fits(matrix: Tensor) -> bool:
    if matrix.dim() == 2 and is_dense(matrix):
        return True
    (rows, columns), (down, right) = matrix.shape[-2:], matrix.stride()[-2:]
    if (down == 1 and right >= max(1, rows)) or (right == 1 and down >= max(1, columns)):
        return True
    return matrix.dim() == 3 and is_contiguous(matrix) and down != 0 and right != 0


ENTRIES = (gemm_workspace, lt_workspace, grouped_workspace, operand_copies)
