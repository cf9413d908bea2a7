"""What libraries say to a person who loads and trains a model by hand, kept back."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("accelerate", "bitsandbytes", "peft", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, no progress bars of transformers', nothing logged below an error."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as theirs  # speaks up when it is imported

        had_bars = theirs.is_progress_bar_enabled()
        theirs.disable_progress_bar()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if had_bars:
                theirs.enable_progress_bar()
