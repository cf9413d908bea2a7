"""
Autocast on the stand-in device, with CUDA's lists and its cache of cast weights.

Source: torch aten/src/ATen/autocast_mode.h (the lists AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32,
AT_FORALL_FP32_SET_OPT_DTYPE, AT_FORALL_PROMOTE) and autocast_mode.cpp (`cached_cast`), 2.13.
Ignores: recurrent cells, what only cuDNN has, and the operator that autocast forbids.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

KEY = "AutocastPrivateUse1"
LOWER = [
    "_convolution",
    "_convolution.deprecated",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "conv_transpose3d.input",
    "convolution",
    "prelu",
    "addmm",
    "addmv",
    "addr",
    "matmul",
    "einsum",
    "mm",
    "mv",
    "linalg_vecdot",
    "linear",
    "addbmm",
    "baddbmm",
    "bmm",
    "chain_matmul",
    "linalg_multi_dot",
    "_scaled_dot_product_flash_attention",
    "scaled_dot_product_attention",
]
FP32 = [
    "acos",
    "asin",
    "cosh",
    "erfinv",
    "exp",
    "expm1",
    "log",
    "log10",
    "log2",
    "log1p",
    "reciprocal",
    "rsqrt",
    "sinh",
    "tan",
    "pow.Tensor_Scalar",
    "pow.Tensor_Tensor",
    "pow.Scalar",
    "softplus",
    "layer_norm",
    "native_layer_norm",
    "group_norm",
    "frobenius_norm.dim",
    "nuclear_norm",
    "nuclear_norm.dim",
    "cosine_similarity",
    "poisson_nll_loss",
    "cosine_embedding_loss",
    "nll_loss",
    "nll_loss2d",
    "hinge_embedding_loss",
    "kl_div",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "mse_loss",
    "margin_ranking_loss",
    "multilabel_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "multi_margin_loss",
    "binary_cross_entropy_with_logits",
    "dist",
    "pdist",
    "cdist",
    "renorm",
    "logsumexp",
    "norm.Scalar",
    "norm.ScalarOpt_dim",
    "rms_norm",
    "upsample_nearest1d",
    "_upsample_nearest_exact1d",
    "upsample_nearest2d",
    "_upsample_nearest_exact2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact3d",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "upsample_trilinear3d",
    "upsample_bicubic2d",
    "_upsample_bicubic2d_aa",
]
FP32_DTYPE = [
    "prod",
    "prod.dim_int",
    "softmax.int",
    "log_softmax.int",
    "cumprod",
    "cumsum",
    "linalg_vector_norm",
    "linalg_matrix_norm",
    "linalg_matrix_norm.str_ord",
    "sum",
    "sum.dim_IntList",
]
PROMOTE = [
    "addcdiv",
    "addcmul",
    "atan2",
    "bilinear",
    "cross",
    "dot",
    "vdot",
    "grid_sampler",
    "index_put",
    "tensordot",
    "scatter_add",
]
HALF = (torch.float16, torch.bfloat16)
Kernel = Callable[..., Any]


class WeightCache:
    """
    Casts of FP32 weights, kept until the outermost autocast ends. Only leaves that are trained are worth keeping.

    A kept cast is made with gradients on, so that it serves with and without them; inference mode neither keeps nor takes.
    """

    def __init__(self) -> None:
        self._casts: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}

    def cast(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """`tensor` in `dtype`."""
        weight = tensor.dtype is torch.float32 and tensor.requires_grad and tensor.is_leaf and not tensor._is_view()
        if not weight or not torch.is_autocast_cache_enabled() or torch.is_inference_mode_enabled():
            return tensor.to(dtype)
        known = self._casts.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        with torch.enable_grad():
            cast = tensor.to(dtype)
        self._casts[id(tensor)] = (weakref.ref(tensor), cast)
        return cast

    def clear(self) -> None:
        """The outermost autocast ended."""
        self._casts.clear()


CACHE = WeightCache()


@contextmanager
def cleared_with_torchs_own() -> Iterator[None]:
    """Within, `torch.clear_autocast_cache`, which ends the outermost autocast, clears our cache too."""
    own = torch.clear_autocast_cache

    def clear() -> None:
        CACHE.clear()
        own()

    torch.clear_autocast_cache = clear
    try:
        yield
    finally:
        torch.clear_autocast_cache = own
        CACHE.clear()


def register(library: torch.library.Library, fallback: torch.library.Library, device: str) -> None:
    """Give the stand-in CUDA's autocast."""
    fallback.fallback(torch.library.fallthrough_kernel, KEY)
    for names, make in ((LOWER, _lower), (FP32, _fp32), (FP32_DTYPE, _fp32_dtype), (PROMOTE, _promote)):
        for name in names:
            packet, _, overload = name.partition(".")
            operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
            library.impl(name, _beneath(make(operator, device)), KEY)


def _beneath(kernel: Kernel) -> Kernel:
    """Run with autocast out of the way."""
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return kernel(*args, **kwargs)

    return run


def _casting(to: torch.dtype, device: str) -> Callable[[Any], Any]:
    def cast(leaf: Any) -> Any:
        return CACHE.cast(leaf, to) if _eligible(leaf, device) and leaf.dtype is not to else leaf

    return cast


def _eligible(leaf: Any, device: str) -> bool:
    return (
        isinstance(leaf, Tensor)
        and leaf.device.type == device
        and leaf.is_floating_point()
        and leaf.dtype is not torch.float64
    )


def _call_cast(operator: Any, to: torch.dtype, device: str, args: Any, kwargs: Any) -> Any:
    """Call `operator` on cast arguments, cast from the last to the first: the order in which GCC evaluates a call's."""
    cast = _casting(to, device)
    kwargs = dict(reversed([(name, tree_map(cast, value)) for name, value in reversed(kwargs.items())]))
    args = reversed([tree_map(cast, value) for value in reversed(args)])
    return operator(*args, **kwargs)


def _lower(operator: Any, device: str) -> Kernel:
    def run(*args: Any, **kwargs: Any) -> Any:
        return _call_cast(operator, torch.get_autocast_dtype(device), device, args, kwargs)

    return run


def _fp32(operator: Any, device: str) -> Kernel:
    def run(*args: Any, **kwargs: Any) -> Any:
        return _call_cast(operator, torch.float32, device, args, kwargs)

    return run


def _fp32_dtype(operator: Any, _: str) -> Kernel:
    """Asks for an FP32 result of half-precision inputs, and leaves the cast to the operator."""
    at = [argument.name for argument in operator._schema.arguments].index("dtype")

    def run(*args: Any, **kwargs: Any) -> Any:
        given = args[at] if len(args) > at else kwargs.get("dtype")
        if given is None and isinstance(args[0], Tensor) and args[0].dtype in HALF:
            kwargs = {**kwargs, "dtype": torch.float32}
            args = args[:at]
        return operator(*args, **kwargs)

    return run


def _promote(operator: Any, device: str) -> Kernel:
    def run(*args: Any, **kwargs: Any) -> Any:
        found = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if _eligible(leaf, device)}
        if torch.float32 not in found or len(found) == 1:
            return operator(*args, **kwargs)
        return _call_cast(operator, torch.float32, device, args, kwargs)

    return run
