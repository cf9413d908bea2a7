"""
Libraries that are traced warn of runs of their own: of kernels that are not installed, of masks that are missing.

None of that is about a run that stores nothing, so it is kept from the user while we trace.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")


@contextmanager
def quiet() -> Iterator[None]:
    """Within, these libraries log nothing below errors, and warnings raised in their code are not shown."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=rf"({'|'.join(LIBRARIES)})(\.|$)")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
