"""What a run can be that no rule covers."""

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.run import Cache, Run, ServeRun

HINT = "--exact answers by running the model's code on a device that stores nothing"


def refuse(run: Run) -> None:
    """
    Raise UnsupportedError for what the rules do not count.

    Raises:
        UnsupportedError: modules trained whole beside adapters, evaluation or saving after the steps,
            a static cache.
    """
    if isinstance(run, ServeRun):
        if run.cache is Cache.STATIC:
            raise UnsupportedError("no rule counts the masks that a static cache needs", HINT)
        return
    if run.adapter is not None and run.adapter.modules_to_save:
        raise UnsupportedError("no rule counts modules that are trained whole beside adapters", HINT)
    if run.evaluate:
        raise UnsupportedError("no rule counts an evaluation after the steps", HINT)
    if run.save:
        raise UnsupportedError("no rule counts what saving holds", HINT)
