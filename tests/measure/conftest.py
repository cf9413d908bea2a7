"""Small matrices gain nothing from threads, and lose much when cores are shared."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    had = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(had)
