"""What is known of a model of the catalog, and of an architecture."""

from dataclasses import dataclass

from vramcast.catalog.models import ModelRow
from vramcast.domain.model import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """
    A model of the catalog with what its closed form makes of it.

    Attributes:
        row: the facts and their source; model: the same as layers.
        token_bytes: BF16 cache that one token of a sequence takes, until a sliding window is full.
        state_bytes: recurrent states and convolution tails of one sequence; 0 where there are none.
    """

    row: ModelRow
    model: ModelSpec
    token_bytes: int
    state_bytes: int

    @property
    def active_parameters(self) -> int | None:
        """Parameters that one token visits; None where it visits every layer whole."""
        mixture = any(run.layer.idle_parameters(self.model.hidden_size) for run in self.model.layers)
        return self.model.active_parameters if mixture else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A `model_type` that has a closed form, and the names of the catalog's models of this type."""

    model_type: str
    models: tuple[str, ...]
