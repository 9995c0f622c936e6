"""Usage: who used what and what it cost, as a chart with its table, and as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.operator import Operator
from app.admin.usage import read_costs_by_size, usage_report
from app.console.drawing import words
from app.console.drawing.charts import Column, heat_steps, stacked_bars
from app.console.pages.spans import SPANS, beginning_of
from app.console.web.csv_answer import csv_answer
from app.console.web.visit import Visit
from app.errors import InvalidValue
from app.quotas.reports.summaries.costs_by_size import SizeCost
from app.quotas.reports.usage import Grouping, UsageRow
from app.quotas.rules.limits import format_usd

ROWS_MAX = 200
_QUALITIES = ("low", "medium", "high", "auto")
_SHOWN = {
    Grouping.USER: "Users",
    Grouping.TEAM: "Teams",
    Grouping.KEY: "Keys",
    Grouping.MODEL: "Models",
    Grouping.SIZE: "Sizes",
    Grouping.QUALITY: "Qualities",
    Grouping.OPERATION: "Operations",
    Grouping.OUTCOME: "Outcomes",
    Grouping.ACCOUNT: "Accounts",
    Grouping.DAY: "Days",
}


async def show_usage(visit: Visit) -> Response:
    """The page, or the CSV file where the address asks for it."""
    by, span = _grouping(visit.asked("by") or "user"), visit.asked("span") or "7d"
    since = beginning_of(span, visit.now)
    rows = await visit.read(lambda operator: _rows(operator, by, since))
    if visit.asked("format") == "csv":
        return _csv(by, rows)
    days = await visit.read(lambda operator: _rows(operator, Grouping.DAY, since))
    if by is not Grouping.DAY:
        rows.sort(key=lambda row: (-row.nanousd, row.name))
    return visit.page(
        "usage.html",
        groupings=_SHOWN,
        spans=SPANS,
        by=by,
        span=span,
        rows=rows[:ROWS_MAX],
        left_out=max(0, len(rows) - ROWS_MAX),
        total=_total(days),
        chart=_chart(days, since, visit.now),
        heat=heat_table(await visit.read(lambda operator: read_costs_by_size(operator, since))),
        address=lambda **changed: "/console/usage?" + urlencode({"by": by.value, "span": span, **changed}),
    )


def _grouping(text: str) -> Grouping:
    try:
        found = Grouping(text)
    except ValueError:
        found = None
    if found not in _SHOWN:
        raise InvalidValue(f"Usage cannot be grouped by {text!r}; there are {', '.join(_SHOWN)}.")
    return found


def _rows(operator: Operator, by: Grouping, since: datetime) -> list[UsageRow]:
    with usage_report(operator, by, since) as rows:
        return list(rows)


def _total(days: list[UsageRow]) -> dict[str, int]:
    names = ("requests", "refused", "estimated", "images", "tokens", "nanousd")
    return {name: sum(getattr(day, name) for day in days) for name in names}


def _chart(days: list[UsageRow], since: datetime, now: datetime) -> Markup:
    """Money by day; a day without use is a gap of its width."""
    spent = {day.id: day.nanousd for day in days}
    columns = []
    day = since
    while day <= now:
        columns.append(Column(f"{day:%-d %b}", {"cost": spent.get(f"{day:%Y-%m-%d}", 0)}))
        day += timedelta(days=1)
    return Markup(stacked_bars("Cost by day (UTC)", columns, ["cost"], words.money))  # noqa: S704 - charts.py escapes


@dataclass(frozen=True, slots=True)
class Heat:
    """What each model and size (rows) cost in each quality (columns). `step` is how strong a cell's colour is, by its
    mean cost: 1 to 5.
    """

    qualities: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[tuple[int, SizeCost] | None, ...]], ...]


def heat_table(costs: Sequence[SizeCost]) -> Heat:
    """The costs as a table, the models and sizes by name."""
    steps = dict(zip(costs, heat_steps([cost.mean_nanousd for cost in costs]), strict=True))
    names = {cost.quality for cost in costs}
    qualities = (*(name for name in _QUALITIES if name in names), *sorted(names - set(_QUALITIES)))
    found = {(cost.model, cost.size, cost.quality): (steps[cost], cost) for cost in costs}
    places = sorted({(cost.model, cost.size) for cost in costs})
    rows = ((model, size, tuple(found.get((model, size, each)) for each in qualities)) for model, size in places)
    return Heat(qualities, tuple(rows))


def _csv(by: Grouping, rows: list[UsageRow]) -> Response:
    head = ("id", "name", "requests", "refused", "estimated", "unpriced", "images", "tokens", "usd", "nanousd")
    lines = (
        (
            *(row.id, row.name, row.requests, row.refused, row.estimated, row.unpriced, row.images, row.tokens),
            *(format_usd(row.nanousd), row.nanousd),
        )
        for row in rows
    )
    return csv_answer(f"usage-by-{by}", head, lines)


PAGES = (("GET", "/console/usage", show_usage, Permission.READ_GATEWAY),)
