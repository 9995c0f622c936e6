"""The bill adds up, stays bounded, and is told by month, day and hour."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.images.catalog.catalog import load_catalog
from app.images.cost.pricing import price
from app.images.cost.usage import Usage
from app.sandbox.answers.bill import Bill, Row, UnknownPeriod, cost_parts, cost_report, usd
from tests.sandbox.support import NOON


def row(cost_nanousd: int | None = 5_970_000, at: datetime = NOON, model: str = "openai/gpt-image-2") -> Row:
    return Row(
        request_id="id-1", at=at, model=model, operation="generation", size="1024x1024", quality="low", n=1,
        stream=False, partial_images=0, usage=Usage(18, 2, 0, 196), cost_nanousd=cost_nanousd,
    )  # fmt: skip


def report(rows: list[Row], dimension: str = "BIZ_DT", time: str = "20261124", *models: str) -> Any:
    return cost_report(rows, dimension, time, models)


def test_a_row_says_what_was_used_and_charged() -> None:
    assert row().as_json() == {
        "request_id": "id-1", "at": "2026-11-24T12:00:00Z", "key": "",
        "model": "openai/gpt-image-2", "operation": "generation",
        "size": "1024x1024", "quality": "low", "n": 1, "stream": False, "partial_images": 0,
        "input_tokens": 20, "input_text_tokens": 18, "input_image_tokens": 2, "output_tokens": 196,
        "cost_nanousd": 5_970_000, "cost_usd": "0.005970000", "client_left": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "0.000000000"), (1, "0.000000001"), (12_345_678_901, "12.345678901"), (-1, "-0.000000001")],
)
def test_dollars_are_exact(nanousd: int, text: str) -> None:
    assert usd(nanousd) == text


def test_totals_outlive_dropped_rows_and_end_with_clearing() -> None:
    bill = Bill(rows_max=2)
    for cost in (1, 10, None, 100):
        bill.add(row(cost))
    assert [kept.cost_nanousd for kept in bill.rows] == [None, 100]
    assert (bill.count, bill.dropped, bill.total_nanousd) == (4, 2, 111)
    bill.clear()
    assert (len(bill.rows), bill.count, bill.dropped, bill.total_nanousd) == (0, 0, 0, 0)


def test_cost_is_told_by_model() -> None:
    rows = [row(), row(model="openai/gpt-image-1.5", cost_nanousd=8_704_000), row()]
    found = report(rows)
    assert found["analysis"]["costByModel"] == [
        {"bizTime": "20261124", "modelSlug": "openai/gpt-image-1.5", "billAmount": 0.008704, "requestCounts": 1},
        {"bizTime": "20261124", "modelSlug": "openai/gpt-image-2", "billAmount": 0.01194, "requestCounts": 2},
    ]
    assert found["summary"]["totalCost"] == pytest.approx(0.020644)
    assert (found["summary"]["requestCounts"], found["summary"]["totalTokens"]) == (3, 648)
    assert report(rows, "BIZ_DT", "20261124", "openai/gpt-image-1.5")["summary"]["requestCounts"] == 1


def test_cost_is_told_by_kind_of_token_and_adds_up() -> None:
    catalog = load_catalog(
        '[models."by-image"]\nid = "x/by-image"\nlike = "gpt-image-2"\nprices = { per_image = "0.03" }\n'
    )
    drawn, edited = Usage(18, 0, 0, 196), Usage(10, 1024, 7, 196)
    rows = []
    for model, usage in (("gpt-image-2", drawn), ("gpt-image-1.5", edited), ("by-image", drawn)):
        spec = catalog.find(model)
        assert spec is not None
        made = row(price(usage, 1, spec), model=spec.id)
        rows.append(replace(made, usage=usage, parts=cost_parts(usage, 1, spec)))
        assert sum(rows[-1].parts.values()) == rows[-1].cost_nanousd
    found = report(rows)
    parts = {entry["tokenType"]: entry["billAmount"] for entry in found["analysis"]["costByTokenType"]}
    assert list(parts) == ["completion", "image", "image_input", "image_output", "prompt"]
    assert parts["image"] == found["summary"]["otherCost"] == 0.03
    assert found["summary"]["inputCost"] == pytest.approx(parts["prompt"] + parts["image_input"])
    assert found["summary"]["outputCost"] == pytest.approx(parts["completion"] + parts["image_output"])
    assert sum(parts.values()) == pytest.approx(found["summary"]["totalCost"])


def test_days_are_utc() -> None:
    late = datetime(2026, 11, 25, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert report([row(at=late)])["summary"]["requestCounts"] == 1
    assert report([row(at=late)], "BIZ_DT", "20261125")["summary"]["requestCounts"] == 0


@pytest.mark.parametrize(
    ("dimension", "time", "count"),
    [("BIZ_MTH", "202611", 2), ("BIZ_DT", "20261124", 1), ("BIZ_HOUR", "2026112412", 1), ("BIZ_HOUR", "2026112411", 0)],
)
def test_periods(dimension: str, time: str, count: int) -> None:
    rows = [row(), row(at=NOON - timedelta(days=1)), row(at=datetime(2025, 11, 24, 12, tzinfo=UTC))]
    assert report(rows, dimension, time)["summary"]["requestCounts"] == count


@pytest.mark.parametrize(
    ("dimension", "time"), [("BIZ_DT", "2026-11-24"), ("BIZ_DT", "202611"), ("DAY", "20261124"), ("BIZ_DT", "")]
)
def test_other_periods_are_refused(dimension: str, time: str) -> None:
    with pytest.raises(UnknownPeriod):
        report([], dimension, time)
