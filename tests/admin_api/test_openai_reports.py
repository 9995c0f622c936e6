"""The queries of OpenAI's reports: what is understood, what is refused by name, and how pages follow each other."""

from datetime import UTC, datetime, timedelta

import pytest

from app.admin_api.openai_reports import COSTS, USAGE, costs_page, parse_report, usage_page
from app.database.schema.total_tables import TOTAL_SUMS
from app.errors import InvalidRequest
from app.quotas.reports.lists.series import SeriesRow, Span

DAY = timedelta(days=1)
START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = START + 10 * DAY + timedelta(hours=5)
SECONDS = str(int(START.timestamp()))


def test_lists_are_read_in_every_way_they_are_written() -> None:
    for written in (
        [("group_by[]", "model"), ("group_by[]", "size")],
        [("group_by", "model"), ("group_by", "size")],
        [("group_by", "model,size")],
    ):
        asked = parse_report(USAGE, [("start_time", SECONDS), *written], NOW)
        assert (asked.groups, asked.series.by) == (("model", "size"), ("model", "size"))
    asked = parse_report(USAGE, [("start_time", SECONDS), ("sources[]", "image.edit"), ("user_ids", "a,b")], NOW)
    assert asked.series.only == (("user_id", frozenset({"a", "b"})), ("operation", frozenset({"edit"})))


def test_pages_follow_each_other_to_the_end() -> None:
    query, spans = [("start_time", SECONDS), ("limit", "4")], []
    asked = parse_report(USAGE, query, NOW)
    while asked.next_page is not None:
        spans.append((asked.series.since, asked.series.until))
        page = usage_page(asked, [])
        assert page["has_more"] is True
        asked = parse_report(USAGE, [*query, ("page", page["next_page"])], NOW)
    spans.append((asked.series.since, asked.series.until))
    assert spans == [(START, START + 4 * DAY), (START + 4 * DAY, START + 8 * DAY), (START + 8 * DAY, NOW)]
    assert usage_page(asked, [])["next_page"] is None
    assert [bucket["results"] for bucket in usage_page(asked, [])["data"]] == [[], [], []]


def test_a_time_within_a_bucket_counts_from_there() -> None:
    half = START + timedelta(hours=12)
    asked = parse_report(COSTS, [("start_time", str(int(half.timestamp())))], NOW)
    assert (asked.series.since, asked.series.until) == (half, START + 7 * DAY)
    assert costs_page(asked, [])["data"][0]["start_time"] == int(SECONDS)
    hours = parse_report(USAGE, [("start_time", SECONDS), ("bucket_width", "1h")], NOW)
    assert (hours.series.bucket, hours.series.until) == (Span.HOUR, START + DAY)


def test_results_have_openais_words() -> None:
    asked = parse_report(COSTS, [("start_time", SECONDS), ("group_by", "line_item,api_source,project_id")], NOW)
    sums = dict.fromkeys(TOTAL_SUMS, 0) | {"charged_images": 2, "charged_requests": 1, "charged_nanousd": 60_000_001}
    nothing = dict.fromkeys(TOTAL_SUMS, 0)
    rows = [SeriesRow(START, ("openai/gpt-image-2", ""), sums), SeriesRow(START, ("m", "t"), nothing)]
    (result,) = costs_page(asked, rows)["data"][0]["results"]
    assert result == {
        "object": "organization.costs.result",
        "amount": {"value": 0.060000001, "currency": "usd"},
        "amount_nanousd": 60_000_001,
        "line_item": "openai/gpt-image-2, images",
        "project_id": None,
        "api_key_id": None,
        "user_id": None,
        "api_source": None,
        "quantity": 2,
        "quantity_unit": "images",
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ([], "start_time"),
        ([("start_time", "soon")], "start_time"),
        ([("start_time", SECONDS), ("end_time", SECONDS)], "end_time"),
        ([("start_time", SECONDS), ("bucket_width", "1w")], "bucket_width"),
        ([("start_time", SECONDS), ("limit", "32")], "limit"),
        ([("start_time", SECONDS), ("limit", "0")], "limit"),
        ([("start_time", SECONDS), ("page", "next")], "page"),
        ([("start_time", SECONDS), ("group_by[]", "prompt")], "group_by"),
        ([("start_time", SECONDS), ("sources", "image.song")], "sources"),
        ([("start_time", SECONDS), ("batch", "true")], "batch"),
    ],
)
def test_what_is_not_understood_is_named(query: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_report(USAGE, query, NOW)
    assert refused.value.param == param


def test_costs_come_by_day_only() -> None:
    with pytest.raises(InvalidRequest, match="1d"):
        parse_report(COSTS, [("start_time", SECONDS), ("bucket_width", "1h")], NOW)
