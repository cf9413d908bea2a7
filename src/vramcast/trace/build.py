"""What is trained or served, built as people build it, on a device that stores nothing."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import logging as transformers_log
from transformers.initialization import no_init_weights

from vramcast.domain.forecast import Category
from vramcast.domain.run import AttentionKernel, ServeRun, TrainRun
from vramcast.trace.config import model_class, parse_config
from vramcast.trace.forced_flash import FLASH
from vramcast.trace.materialize import materialize
from vramcast.trace.recorder import Recorder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
STORED = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """
    A model that a step can be run on.

    `notes` say what a reader of the figures must know: what was left out, and where transformers chose for itself.
    """

    model: nn.Module
    notes: tuple[str, ...] = ()

    def label(self, recorder: Recorder) -> None:
        """Tell the recorder what the model's storages are and which modules they belong to."""
        recorder.places.know(self.model)
        recorder.label((*self.model.parameters(), *self.model.buffers()), Category.PARAMETERS)
        recorder.locate(self.model)


def build(config: Mapping[str, object], run: TrainRun | ServeRun, device: str) -> Built:
    """
    The model of a config.json as `run` trains or serves it, on `device`; to be called within `tracing(device)`.

    Raises:
        InputError: the config is malformed.
        UnsupportedError: transformers has no such model, or cannot run it as asked.
    """
    parsed, notes = parse_config(config)
    with _quiet():
        with _disable_current_modes():
            model, chosen = on_meta(parsed, run, stored_dtype(config))
        materialize(model, device)
        model.train(isinstance(run, TrainRun))
    return Built(model=model, notes=(*notes, *chosen))


def stored_dtype(config: Mapping[str, object]) -> torch.dtype:
    """The number format that the config names for its checkpoint, BF16 if it names none."""
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, Mapping) else {}):
        name = str(place.get("dtype") or place.get("torch_dtype") or "").removeprefix("torch.")
        if name in STORED:
            return DTYPES[STORED[name]]
    return torch.bfloat16


def weight_dtype(run: TrainRun | ServeRun, stored: torch.dtype) -> torch.dtype:
    """The format of weights that are not quantised: FP32 under AMP, the working copy's beside an FP32 master."""
    if isinstance(run, TrainRun):
        return torch.float32 if run.precision.is_amp else DTYPES[run.precision.compute]
    return stored if run.weight_format is None else DTYPES.get(run.weight_format.name, stored)


def on_meta(
    config: PreTrainedConfig, run: TrainRun | ServeRun, stored: torch.dtype
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model's shapes, weights tied, in the run's number format and with its attention."""
    config.use_cache = isinstance(run, ServeRun)
    dtype = weight_dtype(run, stored)
    auto = model_class(config)
    wanted = _attention_name(config, auto, run.attention)
    options = {} if wanted is None else {"attn_implementation": wanted}
    with no_init_weights(), torch.device("meta"):
        model: PreTrainedModel = auto.from_config(config, dtype=dtype, **options)
        model.tie_weights()
    _keep_fp32(model, dtype)
    return model, _attention_notes(model, run.attention)


def _attention_name(config: PreTrainedConfig, auto: type, wanted: AttentionKernel) -> str | None:
    """What transformers is asked for; None lets it choose: `sdpa` where the class supports it, else `eager`."""
    if wanted is AttentionKernel.EAGER:
        return "eager"
    cls = auto._model_mapping[type(config)]  # type: ignore[attr-defined]
    return FLASH if wanted is AttentionKernel.FLASH and cls._supports_flash_attn else None


def _attention_notes(model: PreTrainedModel, wanted: AttentionKernel) -> tuple[str, ...]:
    if wanted is not AttentionKernel.EAGER and model.config._attn_implementation == "eager":
        return (f"{type(model).__name__} has eager attention only",)
    return ()


def _keep_fp32(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Weights that a class wants in FP32 whatever the rest is in, as `from_pretrained` casts them."""
    patterns = tuple(model._get_dtype_plan(dtype))
    for name, parameter in model.named_parameters() if patterns else ():
        if any(pattern in name.split(".") for pattern in patterns):
            parameter.data = parameter.data.float()


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries say to a person who loads a model is not said here."""
    level = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_log.set_verbosity(level)
