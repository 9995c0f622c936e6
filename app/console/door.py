"""The console as an app of its own: every page with its address, and who may open it."""

from collections.abc import Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import app
from app.console.login import pages as login
from app.console.login.throttle import Throttle
from app.console.member import keys as own_keys
from app.console.member import sessions as own_sessions
from app.console.member import usage as own_usage
from app.console.pages import limits, now, people, system, usage
from app.console.web.assets import Assets
from app.console.web.guard import guarded, open_page
from app.console.web.site import Site
from app.console.web.templates import templates
from app.console.web.visit import Visit
from app.settings.settings import Settings

PREFIXES = ("/console",)
"""Where its paths begin."""


def console_door(settings: Settings, clock: Callable[[], datetime]) -> Starlette:
    """The app. Requests bring the services of the gateway's own lifespan with them. Reads the static files."""
    assets = Assets()
    site = Site(settings, assets, templates(assets, clock), Throttle(), app.__version__)

    async def static(request: Request) -> Response:
        return assets.answer(request)

    async def nowhere(request: Request) -> Response:
        return await guarded(site, _not_found)(request)

    open_pages = (
        ("GET", "/console/sign-in", login.show_sign_in),
        ("POST", "/console/sign-in", login.sign_in_with_key),
        ("GET", "/console/link/{token}", login.show_link_page),
        ("POST", "/console/link/{token}", login.use_link_page),
        ("POST", "/console/theme", login.keep_theme),
    )
    pages = (
        ("GET", "/console", _home, None),
        ("POST", "/console/sign-out", login.sign_out_page, None),
        *now.PAGES,
        *usage.PAGES,
        *limits.PAGES,
        *people.PAGES,
        *system.PAGES,
        *own_keys.PAGES,
        *own_usage.PAGES,
        *own_sessions.PAGES,
    )
    return Starlette(
        routes=[
            Route("/console/static/{path:path}", static, methods=["GET"]),
            *(Route(path, open_page(site, page), methods=[method]) for method, path, page in open_pages),
            *(Route(path, guarded(site, page, action), methods=[method]) for method, path, page, action in pages),
            Route("/console/{path:path}", nowhere),
        ]
    )


async def _home(visit: Visit) -> Response:
    """The first page: the whole gateway for operators, the own usage for everybody else."""
    return visit.to("/console/now" if visit.is_operator else "/console/me/usage")


async def _not_found(_: Visit) -> Response:
    raise HTTPException(404, "There is no such page.")
