"""
vramcast forecasts GPU memory.

>>> import vramcast
>>> forecast = vramcast.predict("llama-3.1-8b", device="rtx-4090", method="qlora")
>>> forecast.verdict.fits
True
"""

from typing import TYPE_CHECKING, Any

from vramcast.version import __version__

__all__ = ["Forecast", "ServeRun", "TrainRun", "__version__", "load_model", "measure", "predict", "trace"]

if TYPE_CHECKING:
    from vramcast.app.predict import predict
    from vramcast.domain.forecast import Forecast
    from vramcast.domain.run import ServeRun, TrainRun
    from vramcast.measure.meters import measure
    from vramcast.sources.resolve import load_model
    from vramcast.trace.user_code import trace

_HOMES = {
    "Forecast": "vramcast.domain.forecast",
    "ServeRun": "vramcast.domain.run",
    "TrainRun": "vramcast.domain.run",
    "load_model": "vramcast.sources.resolve",
    "predict": "vramcast.app.predict",
}
_PACKAGES = {"measure", "trace"}  # which can be called


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import vramcast` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'vramcast' has no attribute {name!r}")
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"vramcast.{name}")
    return getattr(import_module(_HOMES[name]), name)
