"""Real storages: what tensors take, each storage counted once."""

import gc
import warnings
from collections.abc import Iterable, Iterator

from torch import Tensor


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind `tensors`; two views of one storage count once, and a view counts its whole storage."""
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def live_bytes(device: str) -> int:
    """
    Bytes of every tensor that Python knows on `device`.

    Ignores: what only autograd keeps, hence to be read where no graph is alive.
    """
    return storage_bytes(_live(device))


def _live(device: str) -> Iterator[Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at an object may deprecate it
        for one in gc.get_objects():
            if issubclass(type(one), Tensor) and one.device.type == device and _is_plain(one):
                yield one


def _is_plain(tensor: Tensor) -> bool:
    """Whether it has a storage of its own; wrappers and sparse tensors have none."""
    try:
        tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return False
    return True
