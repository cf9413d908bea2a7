"""A real text, as tokens: one a byte."""

import random
from collections.abc import Iterator
from importlib.resources import files

import torch
from torch import Tensor

from vramcast.domain.errors import InputError

OWN = "data/declaration.txt"


def own_text() -> bytes:
    """The beginning and the end of the United States Declaration of Independence (1776), in the public domain."""
    return (files("vramcast.measure") / OWN).read_bytes()


def batches(text: bytes, vocab: int, micro_batch: int, seq_len: int, *, seed: int = 0) -> Iterator[Tensor]:
    """
    Without end: `micro_batch` pieces of `seq_len` tokens from places drawn at random; the text goes in a circle.

    In a vocabulary of fewer than 256 words, a token is the byte modulo its size. Nothing is held between two batches.

    Raises:
        InputError: there is no text.
    """
    if not text:
        raise InputError("the text is empty", "leave it out for the text that vramcast brings")
    draw = random.Random(seed)  # noqa: S311 - no secret
    while True:
        starts = [draw.randrange(len(text)) for _ in range(micro_batch)]
        yield torch.tensor([piece(text, vocab, start, seq_len) for start in starts])


def piece(text: bytes, vocab: int, start: int, length: int) -> list[int]:
    """`length` tokens from `start` on."""
    return [text[(start + place) % len(text)] % vocab for place in range(length)]
