"""OpenAI's reports in its own words: what a query asks for, and the buckets that answer it. Pure.

project = team, user = user, api_key = the key's public id, source = operation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.errors import InvalidRequest
from app.quotas.reports.lists.series import SeriesRow, Span, WantedSeries

_SOURCES = {"image.generation": "generation", "image.edit": "edit", "image.variation": "variation"}
Result = Callable[[Mapping[str, str | None], Mapping[str, int]], dict[str, Any]]
_LATEST = 7_258_118_400  # the year 2200


@dataclass(frozen=True, slots=True)
class Report:
    """One of the reports: its parameters. `words` are its group_by, with our column of each; None: always null.
    `limits` are the usual and the largest number of buckets, by width.
    """

    words: Mapping[str, str | None]
    filters: Mapping[str, str]
    limits: Mapping[str, tuple[int, int]]


USAGE = Report(
    {
        "project_id": "team_id",
        "user_id": "user_id",
        "api_key_id": "key_id",
        "model": "model",
        "size": "size",
        "source": "operation",
    },
    {
        "project_ids": "team_id",
        "user_ids": "user_id",
        "api_key_ids": "key_id",
        "models": "model",
        "sizes": "size",
        "sources": "operation",
    },
    {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)},
)
COSTS = Report(
    {
        "project_id": "team_id",
        "line_item": "model",
        "api_key_id": "key_id",
        "user_id": "user_id",
        "api_source": None,
    },
    {"project_ids": "team_id", "api_key_ids": "key_id", "user_ids": "user_id", "line_items": "model"},
    {"1d": (7, 180)},
)
_SPANS = {
    "1m": (Span.MINUTE, timedelta(minutes=1)),
    "1h": (Span.HOUR, timedelta(hours=1)),
    "1d": (Span.DAY, timedelta(days=1)),
}


@dataclass(frozen=True, slots=True)
class AskedReport:
    """A query, understood: the sums to read, and the bucket at which the next page begins; None on the last page."""

    report: Report
    series: WantedSeries
    groups: tuple[str, ...]
    width: timedelta
    next_page: datetime | None


def parse_report(report: Report, query: Sequence[tuple[str, str]], now: datetime) -> AskedReport:
    """Lists may be repeated, have `[]` after their name, or commas. Raises InvalidRequest."""
    given: dict[str, list[str]] = {}
    for name, value in query:
        plain = name.removesuffix("[]")
        if plain not in ("start_time", "end_time", "bucket_width", "limit", "page", "group_by", *report.filters):
            message = f"There is no query parameter {name[:100]!a} here. Leave it out."
            raise InvalidRequest(message, param=name[:100], code="unknown_parameter")
        given.setdefault(plain, []).extend(part.strip() for part in value.split(",") if part.strip())
    width = _one_of(given, "bucket_width", "1d", list(report.limits))
    span, length = _SPANS[width]
    usual, most = report.limits[width]
    limit = _integer(given, "limit", 1, most) or usual
    start_time = _integer(given, "start_time", 0, _LATEST)
    if start_time is None:
        message = "The query parameter 'start_time' is missing."
        raise InvalidRequest(message, param="start_time", code="missing_required_parameter")
    end_time = _integer(given, "end_time", 0, _LATEST)
    start, end = _moment(start_time), now if end_time is None else _moment(end_time)
    if end_time is not None and end <= start:
        raise _invalid("end_time", "it must be after start_time")
    page = _integer(given, "page", 0, _LATEST)
    first = max(start, _moment(page)) if page is not None else start
    past = _floor(first, length) + limit * length
    groups = tuple(dict.fromkeys(given.get("group_by", [])))
    for group in groups:
        if group not in report.words:
            raise _invalid("group_by", f"{group[:80]!a} is none of {', '.join(report.words)}")
    by = tuple(column for group in groups if (column := report.words[group]) is not None)
    only = tuple((column, _values(name, given[name])) for name, column in report.filters.items() if given.get(name))
    series = WantedSeries(first, max(first, min(past, end)), span, by, only)
    return AskedReport(report, series, groups, length, past if past < end else None)


def usage_page(asked: AskedReport, rows: Iterable[SeriesRow]) -> dict[str, Any]:
    """The answer of /v1/organization/usage/images."""
    return _page(asked, rows, _usage_result)


def costs_page(asked: AskedReport, rows: Iterable[SeriesRow]) -> dict[str, Any]:
    """The answer of /v1/organization/costs."""
    return _page(asked, rows, _costs_result)


def _usage_result(words: Mapping[str, str | None], sums: Mapping[str, int]) -> dict[str, Any]:
    sources = {operation: source for source, operation in _SOURCES.items()}
    return {
        "object": "organization.usage.images.result",
        "images": sums["charged_images"],
        "num_model_requests": sums["charged_requests"],
        **{word: words.get(word) for word in ("size", "project_id", "user_id", "api_key_id", "model")},
        "source": sources.get(words.get("source") or ""),
    }


def _costs_result(words: Mapping[str, str | None], sums: Mapping[str, int]) -> dict[str, Any]:
    model, nanousd = words.get("line_item"), sums["charged_nanousd"]
    return {
        "object": "organization.costs.result",
        "amount": {"value": nanousd / 10**9, "currency": "usd"},
        "amount_nanousd": nanousd,
        **{word: words.get(word) for word in ("project_id", "api_key_id", "user_id", "api_source")},
        "line_item": None if model is None else f"{model}, images",
        "quantity": None if model is None else sums["charged_images"],
        "quantity_unit": None if model is None else "images",
    }


def _page(asked: AskedReport, rows: Iterable[SeriesRow], result: Result) -> dict[str, Any]:
    found: dict[datetime | None, list[dict[str, Any]]] = {}
    columns = [group for group in asked.groups if asked.report.words[group] is not None]
    for row in rows:
        if row.sums["charged_requests"] or row.sums["charged_images"] or row.sums["charged_nanousd"]:
            words = dict(zip(columns, (word or None for word in row.words), strict=True))
            found.setdefault(row.start, []).append(result(words, row.sums))
    buckets = [
        {
            "object": "bucket",
            "start_time": int(start.timestamp()),
            "end_time": int((start + asked.width).timestamp()),
            "results": found.get(start, []),
        }
        for start in _starts(asked)
    ]
    page = None if asked.next_page is None else str(int(asked.next_page.timestamp()))
    return {"object": "page", "data": buckets, "has_more": page is not None, "next_page": page}


def _starts(asked: AskedReport) -> Iterator[datetime]:
    start = _floor(asked.series.since, asked.width)
    while start < asked.series.until:
        yield start
        start += asked.width


def _floor(moment: datetime, length: timedelta) -> datetime:
    seconds = int(length.total_seconds())
    return _moment(int(moment.timestamp()) // seconds * seconds)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _values(name: str, given: Sequence[str]) -> frozenset[str]:
    if name == "sources":
        for source in given:
            if source not in _SOURCES:
                raise _invalid(name, f"{source[:80]!a} is none of {', '.join(_SOURCES)}")
        return frozenset(_SOURCES[source] for source in given)
    if name == "line_items":
        return frozenset(item.removesuffix(", images") for item in given if item != "images")
    return frozenset(given)


def _one_of(given: Mapping[str, Sequence[str]], name: str, usual: str, words: Sequence[str]) -> str:
    values = given.get(name) or [usual]
    if values[-1] not in words:
        raise _invalid(name, f"it must be one of {', '.join(words)}")
    return values[-1]


def _integer(given: Mapping[str, Sequence[str]], name: str, least: int, most: int) -> int | None:
    if name not in given:
        return None
    text = given[name][-1] if given[name] else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and least <= int(text) <= most):
        raise _invalid(name, f"it must be a whole number from {least} to {most}")
    return int(text)


def _invalid(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid query parameter '{name}': {why}.", param=name, code="invalid_value")
