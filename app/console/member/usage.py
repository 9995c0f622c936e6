"""My usage: every limit that binds me and when it resets, and what my requests cost."""

from datetime import timedelta

from markupsafe import Markup
from starlette.responses import Response

from app.admin.reads.explain import explain_user
from app.admin.usage import days_of_own
from app.console.drawing import words
from app.console.drawing.charts import Column, stacked_bars
from app.console.web.visit import Visit

_DAYS = 14


async def show_own_usage(visit: Visit) -> Response:
    """The limits, and the last two weeks."""
    user_id = visit.user_id
    since = visit.now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS - 1)
    explained = await visit.read(lambda operator: explain_user(operator, user_id))
    days = await visit.read(lambda operator: days_of_own(operator, user_id, since))
    by_day = {day.day: day for day in days}
    dates = [since + timedelta(days=number) for number in range(_DAYS)]
    columns = []
    for date in dates:
        row = by_day.get(f"{date:%Y-%m-%d}")
        columns.append(Column(f"{date:%-d %b}", {"cost": row.nanousd if row else 0}))
    return visit.page(
        "own_usage.html",
        statuses=explained.statuses,
        days=list(reversed(days)),
        total=sum(day.nanousd for day in days),
        images=sum(day.images for day in days),
        requests=sum(day.requests for day in days),
        chart=Markup(stacked_bars("My cost by day (UTC)", columns, ["cost"], words.money)),  # noqa: S704 - it escapes
    )


PAGES = (("GET", "/console/me/usage", show_own_usage, None),)
