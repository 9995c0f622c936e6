"""Now: one screen of what runs, what it holds, what today cost, who is near a limit, and whether the bill agrees."""

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.glance import glance
from app.admin.zenmux.accounts import list_accounts
from app.console.web.visit import Visit


async def show_now(visit: Visit) -> Response:
    """The page; only its changing part where htmx asks for that."""
    settings = visit.services.settings
    found = await visit.read(glance)
    accounts = await visit.read(lambda operator: list_accounts(operator, settings.accounts))
    template = "now_part.html" if visit.is_partial else "now.html"
    return visit.page(
        template,
        glance=found,
        accounts=accounts,
        in_flight=visit.services.exchanges.in_flight,
        drift_nanousd=None if found.last_check is None else sum(found.last_check.drift_nanousd.values()),
    )


PAGES = (("GET", "/console/now", show_now, Permission.READ_GATEWAY),)
