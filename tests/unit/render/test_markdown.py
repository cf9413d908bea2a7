"""A forecast as Markdown."""

from tests.made_forecasts import qlora_forecast
from vramcast.render.markdown import forecast_markdown


def test_the_table_has_every_term_and_its_total() -> None:
    """One row a term, five cells a row."""
    forecast = qlora_forecast()
    rows = [line for line in forecast_markdown(forecast).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + sum(1 for term in forecast.terms if term.bytes) + 1
    assert all(row.count("|") == 6 for row in rows)
    assert "**6.60**" in rows[-1]


def test_names_are_no_markup() -> None:
    """A star, a bracket or a bar in a name stays what it is."""
    forecast = qlora_forecast()
    object.__setattr__(forecast.model, "name", "a*b|c<d>[e]_f_")
    assert "a\\*b\\|c\\<d\\>\\[e\\]\\_f\\_" in forecast_markdown(forecast)


def test_the_command_is_optional() -> None:
    """Without a command line there is no code block."""
    assert "```" not in forecast_markdown(qlora_forecast())
    assert forecast_markdown(qlora_forecast(), "vramcast predict x").endswith("```sh\nvramcast predict x\n```")
