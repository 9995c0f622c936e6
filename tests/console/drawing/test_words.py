"""Amounts and times as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.console.drawing import words
from app.quotas.rules.limits import Unit

NOON = datetime(2026, 11, 9, 12, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        (0, "$0.00"),
        (1, "<$0.0001"),
        (99_999, "<$0.0001"),
        (5_300_000, "$0.0053"),
        (100_000_000, "$0.10"),
        (1_234_567_890_000, "$1,234.57"),
        (-2_500_000_000, "-$2.50"),
    ],
)
def test_money(nanousd: int, text: str) -> None:
    assert words.money(nanousd) == text


def test_counts_and_shares() -> None:
    assert words.count(1234567) == "1,234,567"
    assert [words.percent(each) for each in (0, 0.004, 0.25, 1.5)] == ["0%", "0.4%", "25%", "150%"]
    assert words.in_unit(5_000_000_000, Unit.USD) == "$5.00"
    assert words.in_unit(7, Unit.IMAGES).startswith("7")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (7500, "2 h 5 min"), (86400 * 6 + 10800, "6 d 3 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_moments_are_said_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert words.moment(elsewhere) == "9 Nov 2026, 12:05 UTC"
    assert words.machine_moment(elsewhere) == "2026-11-09T12:05:30Z"


@pytest.mark.parametrize(
    ("seconds", "text"), [(2, "just now"), (180, "3 min ago"), (-180, "in 3 min"), (-86400, "in 1 d")]
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert words.since(NOON, NOON + timedelta(seconds=seconds)) == text
