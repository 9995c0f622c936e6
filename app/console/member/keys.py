"""My keys: what they may do and where they are used; with the right to make keys, also their making and rotation."""

from starlette.responses import Response

from app.admin.keys import list_keys
from app.console.web.snippets import PLACEHOLDER, base_url, snippets_for
from app.console.web.visit import Visit


async def show_own_keys(visit: Visit) -> Response:
    """The visitor's keys, and how to use one."""
    user_id = visit.user_id
    keys = await visit.read(lambda operator: list_keys(operator, user_id))
    return visit.page("own_keys.html", keys=keys, base_url=base_url(visit), snippets=snippets_for(visit, PLACEHOLDER))


PAGES = (("GET", "/console/me/keys", show_own_keys, None),)
