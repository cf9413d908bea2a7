"""
The stand-in device: a PrivateUse1 backend that PyTorch takes for an accelerator, and that holds no bytes.

Tensors on it exist only under `FakeTensorMode`, as shapes; autograd, foreach optimizers, checkpointing and `native_dropout` with
its bool mask treat it as they treat CUDA. A fake `cuda` device would not do: on a CPU build of torch its backward pass aborts.

Source: torch/utils/backend_registration.py (`_setup_privateuseone_for_python_backend`), torch 2.11 to 2.15.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils import backend_registration

from vramcast.trace import autocast, half_softmax, shapes
from vramcast.trace.attention import attend
from vramcast.trace.backward_errors import Guard

NAME = "standin"
RNG_STATE_BYTES = 16  # CUDA's generator state: seed and offset
FUSED_ON_CUDA = ("_fused_rms_norm", "_fused_rms_norm_backward", "mish_backward", "silu_backward")


class _Backend(backend_registration._DummyBackendModule):
    """What `torch.standin` answers to code that asks an accelerator about itself."""

    def get_rng_state(self, _: object = None) -> torch.Tensor:
        """A state as large as CUDA's, on the CPU like CUDA's."""
        return torch.zeros(RNG_STATE_BYTES, dtype=torch.uint8, device="cpu")

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        """Nothing is random here."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """As CUDA's autocast."""
        return [torch.bfloat16, torch.float16]

    def device(self, _: object) -> AbstractContextManager[None]:
        """One device, always current."""
        return nullcontext()

    def empty_cache(self) -> None:
        """Nothing is cached here."""

    def synchronize(self, _: object = None) -> None:
        """Nothing is under way here."""


def _never(*_: Any, **__: Any) -> None:
    """Stand where a kernel stands, so that an operator is not decomposed. Fake tensors never reach it."""
    raise AssertionError("a kernel ran on the stand-in device")


def register() -> tuple[torch.library.Library, ...]:
    """Make the stand-in known to torch; the libraries must stay referenced. Once a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Backend(), device_guard=Guard())
    library = torch.library.Library("aten", "IMPL")
    for operator in FUSED_ON_CUDA:
        library.impl(operator, _never, "PrivateUse1")
    library.impl("scaled_dot_product_attention", attend, "AutogradPrivateUse1")
    shapes.register(library)
    half_softmax.register(library)
    fallback = torch.library.Library("_", "IMPL")
    autocast.register(library, fallback, NAME)
    return library, fallback


_LIBRARIES = register()
