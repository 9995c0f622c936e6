"""The console as an app of its own: every page with its address, and who may open it."""

from collections.abc import Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import app
from app.admin.access.permissions import Permission
from app.api.front import handle_gateway_error
from app.api.services import event_of, services_of
from app.console.login import oidc
from app.console.login import pages as login
from app.console.member import gallery, playground
from app.console.member import keys as own_keys
from app.console.member import sessions as own_sessions
from app.console.member import usage as own_usage
from app.console.pages import accounts, changes, explain, limits, now, people, requests, system, usage
from app.console.providers.client import ProviderClients
from app.console.web.assets import Assets
from app.console.web.guard import guarded, open_page
from app.console.web.site import Site
from app.console.web.templates import templates
from app.console.web.visit import Visit, see_other
from app.errors import GatewayError
from app.identity.sessions.throttle import Throttle
from app.settings.settings import Settings
from app.telemetry.event import Outcome


def console_doors(settings: Settings, clock: Callable[[], datetime]) -> dict[tuple[str, ...], Starlette]:
    """The app by where its paths begin; nothing where the console is off."""
    return {("/console/",): console_door(settings, clock)} if settings.has_console else {}


def console_door(settings: Settings, clock: Callable[[], datetime]) -> Starlette:
    """The app. Requests bring the services of the gateway's own lifespan with them. Reads the static files."""
    assets = Assets()
    site = Site(settings, assets, templates(assets, clock), Throttle(), ProviderClients(settings), app.__version__)

    async def static(request: Request) -> Response:
        return assets.answer(request)

    async def nowhere(request: Request) -> Response:
        return await guarded(site, _not_found)(request)

    return Starlette(
        routes=[
            Route("/console/static/{path:path}", static, methods=["GET"]),
            *(Route(path, open_page(site, page), methods=[method]) for method, path, page in OPEN_PAGES),
            *(Route(path, guarded(site, page, action), methods=[method]) for method, path, page, action in PAGES),
            *(Route(path, guarded(site, page, is_for_programs=True), methods=[method]) for method, path, page in CALLS),
            Route("/console/{path:path}", nowhere),
        ],
        # An exchange raises after its page has returned it, and only while it has sent nothing.
        exception_handlers={GatewayError: handle_gateway_error},
    )


async def show_root(request: Request) -> Response:
    """GET /: a browser is sent to the console; a program gets the error that it always got."""
    has_console = services_of(request).settings.has_console
    if not has_console or "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404)
    event_of(request).outcome = Outcome.COMPLETED
    return see_other("/console")


async def _home(visit: Visit) -> Response:
    """The first page: the whole gateway, the own team, or the own usage."""
    if visit.may(Permission.READ_GATEWAY):
        return visit.to("/console/now")
    return visit.to("/console/people" if visit.is_operator else "/console/me/usage")


async def _not_found(_: Visit) -> Response:
    raise HTTPException(404, "There is no such page.")


OPEN_PAGES = (
    ("GET", "/console/sign-in", login.show_sign_in),
    ("POST", "/console/sign-in", login.sign_in_with_key),
    ("GET", "/console/link/{token}", login.show_link_page),
    ("POST", "/console/link/{token}", login.use_link_page),
    ("GET", "/console/oidc/{provider}", oidc.go_to_provider),
    ("GET", "/console/oidc/{provider}/callback", oidc.come_from_provider),
    ("GET", "/console/oidc/{provider}/sign-out", oidc.leave_provider),
    ("POST", "/console/theme", login.keep_theme),
)
"""The pages that need no session: method, path, function."""

PAGES = (
    ("GET", "/console", _home, None),
    ("POST", "/console/sign-out", login.sign_out_page, None),
    *now.PAGES,
    *requests.PAGES,
    *usage.PAGES,
    *limits.PAGES,
    *explain.PAGES,
    *people.PAGES,
    *accounts.PAGES,
    *changes.PAGES,
    *system.PAGES,
    *playground.PAGES,
    *gallery.PAGES,
    *own_keys.PAGES,
    *own_usage.PAGES,
    *own_sessions.PAGES,
)
"""The others: method, path, function, and what a role must be able to do to others; None: signing in is enough."""

CALLS = (*playground.CALLS, *gallery.CALLS)
"""What scripts of the pages call, and any signed-in visitor may: method, path, function."""
