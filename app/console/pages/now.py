"""Now: one screen of what runs, what it holds, what today cost, who is near a limit, and whether the bill agrees."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.operator import Operator
from app.admin.reads.glance import Glance, glance
from app.admin.reads.others import list_refusals
from app.admin.zenmux.accounts import AccountView, list_accounts
from app.console.web.visit import Visit
from app.quotas.reports.lists.refusals import WantedRefusals

_REASONS = 6
_ROWS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class NowRead:
    """What the page shows of the database, as of `at`. The same for everybody who may see the page."""

    at: datetime
    glance: Glance
    accounts: list[AccountView]
    refused: list[tuple[str, int]]


async def show_now(visit: Visit) -> Response:
    """The page; only its changing part where htmx asks for that, which all open pages get of one read."""
    found = await (visit.site.now_read.get(lambda: _read(visit)) if visit.is_partial else _read(visit))
    check = found.glance.last_check
    template = "now_part.html" if visit.is_partial else "now.html"
    return visit.page(
        template,
        as_of=found.at,
        glance=found.glance,
        accounts=found.accounts,
        refused=found.refused,
        in_flight=visit.services.exchanges.in_flight,
        drift_nanousd=None if check is None else sum(check.drift_nanousd.values()),
    )


async def _read(visit: Visit) -> NowRead:
    settings, now = visit.services.settings, visit.now
    found = await visit.read(glance)
    accounts = await visit.read(lambda operator: list_accounts(operator, settings.accounts))
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    wanted = WantedRefusals(this_hour - timedelta(hours=1), now)

    def count(operator: Operator) -> Counter[str]:
        counted: Counter[str] = Counter()
        for row in list_refusals(operator, wanted, None, _ROWS_MAX).rows:
            counted[row["code"]] += row["count"]
        return counted

    refused = await visit.read(count)
    return NowRead(now, found, accounts, refused.most_common(_REASONS))


PAGES = (("GET", "/console/now", show_now, Permission.READ_GATEWAY),)
