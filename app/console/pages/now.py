"""Now: one screen of what runs, what it holds, what today cost, who is near a limit, and whether the bill agrees."""

from collections import Counter
from datetime import timedelta

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.glance import glance
from app.admin.reads.others import list_refusals
from app.admin.zenmux.accounts import list_accounts
from app.console.web.visit import Visit

_REASONS = 6


async def show_now(visit: Visit) -> Response:
    """The page; only its changing part where htmx asks for that."""
    settings = visit.services.settings
    found = await visit.read(glance)
    accounts = await visit.read(lambda operator: list_accounts(operator, settings.accounts))
    this_hour = visit.now.replace(minute=0, second=0, microsecond=0)
    refusals = await visit.read(lambda operator: list_refusals(operator, this_hour - timedelta(hours=1), visit.now))
    counted: Counter[str] = Counter()
    for row in refusals:
        counted[row["code"]] += row["count"]
    template = "now_part.html" if visit.is_partial else "now.html"
    return visit.page(
        template,
        glance=found,
        accounts=accounts,
        refused=counted.most_common(_REASONS),
        in_flight=visit.services.exchanges.in_flight,
        drift_nanousd=None if found.last_check is None else sum(found.last_check.drift_nanousd.values()),
    )


PAGES = (("GET", "/console/now", show_now, Permission.READ_GATEWAY),)
