"""
The four ways to train, side by side: the rule of thumb in multiples of Φ, and the exact account.

Letters: Φ parameters.
"""

from dataclasses import dataclass

from vramcast.app.options import ADAPTING
from vramcast.app.predict import predict
from vramcast.domain.forecast import Category, Forecast, Part, Term
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Method, TrainRun
from vramcast.sources.resolve import load_model

STATIC = (Category.PARAMETERS, Category.GRADIENTS, Category.OPTIMIZER_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """
    One way to train a model.

    `rule_of_thumb` is the classic account's bytes per parameter; `exact_bytes` are all weights, gradients and optimizer
    states, and `parts` split them. `gap` is what the rule of thumb does not count of these: it sums to the difference.
    `dynamic` is what lives only while the step runs, each category at its own largest (they do not all coincide), and
    what lies outside live tensors.
    """

    name: str
    label: str
    rule_of_thumb: float
    parameters: int
    exact_bytes: int
    parts: tuple[Part, ...]
    gap: tuple[Part, ...]
    dynamic: tuple[Part, ...]
    forecast: Forecast

    @property
    def left_out(self) -> tuple[Part, ...]:
        """All that the rule of thumb leaves out."""
        return (*self.gap, *self.dynamic)

    @property
    def rule_bytes(self) -> int:
        """rule_of_thumb · Φ."""
        return round(self.rule_of_thumb * self.parameters)

    @property
    def exact_multiple(self) -> float:
        """exact_bytes / Φ."""
        return self.exact_bytes / self.parameters


WAYS: tuple[tuple[str, str, float, dict[str, str]], ...] = (
    ("full-mixed", "full, mixed precision (FP32 master)", 16.0, {"method": "full", "precision": "master-bf16"}),
    ("full-bf16", "full, pure BF16", 8.0, {"method": "full", "precision": "bf16"}),
    ("lora", "LoRA on BF16 weights", 2.0, {"method": "lora", "precision": "bf16"}),
    ("qlora", "QLoRA on NF4 weights", 0.5, {"method": "qlora", "precision": "bf16"}),
)
_FOREIGN = {"full": (*ADAPTING, "base_format"), "lora": ("base_format",), "qlora": ()}


def compare_methods(model: str | ModelSpec, *, offline: bool = False, **options: object) -> tuple[MethodRow, ...]:
    """
    The four ways for `model`; `options` (seq_len, micro_batch, lora_rank, …) hold for all of them.

    Raises:
        InputError, UnsupportedError: as `predict`.
    """
    spec = load_model(model, offline=offline) if isinstance(model, str) else model
    rows = []
    for name, label, multiple, choice in WAYS:
        kept = {key: value for key, value in options.items() if key not in _FOREIGN[choice["method"]]}
        forecast = predict(spec, **{**kept, **choice})  # type: ignore[arg-type]
        rows.append(_row(name, label, multiple, forecast))
    return tuple(rows)


def _row(name: str, label: str, multiple: float, forecast: Forecast) -> MethodRow:
    static = _static(forecast)
    exact = sum(term.bytes for term in static)
    rule = round(multiple * forecast.model.parameters)
    return MethodRow(
        name=name,
        label=label,
        rule_of_thumb=multiple,
        parameters=forecast.model.parameters,
        exact_bytes=exact,
        parts=tuple(Part(term.label, term.formula, term.bytes) for term in static),
        gap=tuple(_gap(forecast, static, exact - rule)),
        dynamic=tuple(_dynamic(forecast)),
        forecast=forecast,
    )


def _static(forecast: Forecast) -> list[Term]:
    """Weights, gradients and optimizer states at the optimizer's step, when all of them exist."""
    return [term for term in forecast.instants[-1].terms if term.category in STATIC]


def _dynamic(forecast: Forecast) -> list[Part]:
    """Each category that lives only while the step runs, at the instant where it is largest, and what lies outside."""
    largest: dict[Category, tuple[int, str]] = {}
    for instant in forecast.instants:
        sums: dict[Category, int] = {}
        for term in instant.terms:
            if term.category not in STATIC:
                sums[term.category] = sums.get(term.category, 0) + term.bytes
        for category, size in sums.items():
            if size > largest.get(category, (0, ""))[0]:
                largest[category] = (size, instant.name)
    parts = [Part(f"{category}, at most", f"at: {name}", size) for category, (size, name) in largest.items()]
    outside = [t for t in forecast.terms if t.category in (Category.RUNTIME, Category.FRAGMENTATION) and t.bytes]
    return parts + [Part(term.label, term.formula, term.bytes) for term in outside]


def _gap(forecast: Forecast, static: list[Term], gap: int) -> list[Part]:
    """What explains exact - rule of thumb; the parts sum to it."""
    run = forecast.run
    assert isinstance(run, TrainRun)
    if run.method is Method.FULL or not gap:
        return []
    base, *rest = static
    parts = [Part(_of_adapters(term), term.formula, term.bytes) for term in rest if term.bytes]
    own = gap - sum(part.bytes for part in parts)
    if run.method is Method.QLORA and base.parts:
        kept = sum(part.bytes for part in base.parts) - round(0.5 * forecast.model.parameters)
        assert kept == own, (kept, own)
        parts.insert(
            0, Part("scales, and what is not quantised (embeddings, head, norms)", "q·Φ_q + s·Φ_rest - Φ/2", own)
        )
    elif own:
        parts.insert(0, Part("scales of the quantised weights", "q·Φ - Φ/2", own))
    return parts


def _of_adapters(term: Term) -> str:
    return term.label if term.category is Category.PARAMETERS else f"{term.label} of the adapters"
