"""Formulas in numbers, and the legend of their letters."""

import ast
import math
import re

import pytest

from tests.varied_forecasts import varied_forecasts
from vramcast.domain.forecast import Term
from vramcast.render.formula import in_numbers, number
from vramcast.render.letters import known_values, letters_in, unknown_letters
from vramcast.sources.resolve import load_model

BRACKETS = (("⌈", "ceil("), ("⌉", ")"), ("⌊", "floor("), ("⌋", ")"), ("·", "*"), ("²", "**2"))


def arithmetic(text: str) -> float | None:
    """The value of a formula without letters; None where letters are left."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    for sign, python in BRACKETS:
        text = text.replace(sign, python)
    try:
        names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
    except SyntaxError:
        return None
    if names - {"min", "ceil", "floor"}:
        return None
    return float(eval(text, {"ceil": math.ceil, "floor": math.floor, "min": min}))


def varied_terms() -> dict[tuple[str, str], Term]:
    """One term of each label and formula, over all models and runs."""
    terms = (term for forecast in varied_forecasts() for instant in forecast.instants for term in instant.terms)
    return {(re.sub(r"\d+", "#", term.label), term.formula): term for term in terms}


@pytest.mark.parametrize(
    ("formula", "values", "shown"),
    [
        ("2·s·Φ_t", (("s", 2), ("Φ_t", 41943040)), "2·2·41,943,040"),
        ("s·Φ_rest + q·Φ", (("q", 0.5), ("Φ", 8)), "s·Φ_rest + 0.5·8"),
        ("B·T·(a + T·p)", (("B", 1), ("T", 2048)), "1·2,048·(a + 2,048·p)"),
        ("q·B·Σ_layers 2·K·H", (("q", 2.0), ("Σ_layers 2·K·H", 10), ("K", 3)), "2·B·10"),
        ("4·short²", (("short", 64),), "4·64²"),
        ("context", (), "context"),
    ],
)
def test_letters_become_numbers(formula: str, values: tuple[tuple[str, float], ...], shown: str) -> None:
    """Whole names only, the longest first; what has no value stays."""
    assert in_numbers(formula, values) == shown


def test_numbers() -> None:
    """Commas for whole ones, six digits behind the point for others."""
    assert [number(value) for value in (1, 2048, 2.0, 0.515869140625, 0.5)] == ["1", "2,048", "2", "0.515869", "0.5"]


def test_a_formula_in_numbers_gives_the_terms_bytes() -> None:
    """For every kind of term, over every architecture, whose letters all have values: the arithmetic that is printed holds."""
    checked = 0
    for term in varied_terms().values():
        value = arithmetic(in_numbers(term.formula, term.values))
        if value is None:
            continue
        assert value == pytest.approx(term.bytes, rel=1e-3, abs=64), (term.label, term.formula)
        checked += 1
    assert checked > 60


def test_the_legend_explains_every_letter() -> None:
    """A rule that brings a new letter is seen here."""
    formulas = {
        formula
        for term in varied_terms().values()
        for formula in (term.formula, *(part.formula for part in term.parts))
    }
    assert unknown_letters(formulas) == set()


def test_letters_in_the_legends_order() -> None:
    """Each once; functions and sums over layers are no letters."""
    assert letters_in(["B·T·min(n, V)", "Σ_layers s·T", "Φ_t"]) == ["Φ_t", "B", "T", "n", "V", "s"]


def test_known_values_are_those_that_never_vary() -> None:
    """Sizes of the model where all layers agree, and values of terms where all terms agree."""
    llama = known_values(load_model("llama-3.1-8b"), ())
    assert (llama["N"], llama["K"], llama["H"], llama["F"]) == (32, 8, 128, 14336)
    assert "F" not in known_values(load_model("deepseek-v3"), ())
    assert known_values(load_model("8B"), ()) == {}


def test_layers_are_counted_by_what_their_cache_holds() -> None:
    """All tokens or a window; layers without keys of their own are not counted, and a latent cache has other letters."""
    gemma = known_values(load_model("gemma-3-4b"), ())
    assert (gemma["L_global"], gemma["L_window"], gemma["window"], gemma["L"]) == (5, 29, 1024, 34)
    assert "L_global" not in known_values(load_model("deepseek-v3"), ())
