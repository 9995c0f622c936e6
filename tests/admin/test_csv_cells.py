import pytest

from app.admin.csv_cells import csv_text


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://example.com")', "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "=", "-"],
)
def test_a_formula_is_only_text(text: str) -> None:
    assert csv_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["alice", "2026-11-24", "openai/gpt-image-2", "a=b", "", "0", "'x", "älice"])
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert csv_text(text) == text


def test_nothing_is_an_empty_cell() -> None:
    assert csv_text(None) == ""
