"""What stands before every page: the session, the rule against forged requests, and errors as pages."""

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.admin.access.permissions import Permission, Reach, permit
from app.admin.access.sign_in import find_session
from app.api.error_responses import error_response, wire_error
from app.api.services import event_of, services_of
from app.console.providers.proxy_header import named_by_proxy
from app.console.web.same_origin import is_from_here, page_of_form
from app.console.web.site import Site
from app.console.web.visit import Visit, see_other
from app.errors import GatewayError, NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.identity.sessions.sessions import ConsoleSession
from app.telemetry.event import Outcome

logger = logging.getLogger("gateway")

Page = Callable[[Visit], Awaitable[Response]]
SIGN_IN = "/console/sign-in"
_ENDED = "Your session has ended, so nothing was done. Sign in again in another tab, then go on in this one."

_NOBODY = Principal("console", Role.MEMBER)
_HEADING = {403: "Not for your role", 404: "Not found", 409: "That cannot be done now", 503: "Not available now"}


def open_page(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """A page for everybody, signed in or not."""

    async def endpoint(request: Request) -> Response:
        return await _answer(Visit(request, site, None), page)

    return endpoint


def guarded(
    site: Site, page: Page, action: Permission | None = None, *, is_for_programs: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """A page for those who are signed in and whose role may do `action` to others; the rest are sent to sign in, or
    refused. Without an `action` it is about the visitor's own things. The use cases judge what a lead's team covers.

    `is_for_programs`: a script of ours calls it, and reads errors in OpenAI's envelope.
    """

    async def permitted(visit: Visit) -> Response:
        if action is not None and permit(visit.principal, action) is Reach.OWN:
            raise NotPermitted("This page is about others. What is yours is under Yours.")
        return await page(visit)

    async def endpoint(request: Request) -> Response:
        session = None
        try:
            session = await session_of(request, site)
        except GatewayError as error:
            return _failure(Visit(request, site, None), error, is_for_programs=is_for_programs)
        if session is None:
            return _sign_in_first(Visit(request, site, None), is_for_programs=is_for_programs)
        return await _answer(Visit(request, site, session), permitted, is_for_programs=is_for_programs)

    return endpoint


async def session_of(request: Request, site: Site) -> ConsoleSession | None:
    """The open session whose token the browser sent."""
    token = site.cookies_for(request).token(request)
    if not token:
        return None
    services = services_of(request)
    found = await services.administration.read(_NOBODY, lambda operator: find_session(operator, token, site.bounds))
    if found is not None and found.method == "proxy":  # whoever signs out there is signed out here
        return found if proxy_user(request) == found.user_name else None
    return found


def proxy_user(request: Request) -> str | None:
    """The user whom a trusted proxy in front names."""
    settings, client = services_of(request).settings, request.client
    header = settings.console_proxy_header
    if header is None or client is None:
        return None
    return named_by_proxy(client.host, request.headers.getlist(header), settings)


async def _answer(visit: Visit, page: Page, *, is_for_programs: bool = False) -> Response:
    request = visit.request
    event_of(request).outcome = Outcome.COMPLETED
    headers = request.headers
    is_ours = is_from_here(
        request.method, headers.get("sec-fetch-site"), headers.get("origin"), visit.site.hosts_for(request)
    )
    if not is_ours:
        error = NotPermitted("This form was not sent by a page of this gateway, so nothing was done.")
        return _failure(visit, error, is_for_programs=is_for_programs)
    try:
        return await page(visit)
    except GatewayError as error:
        return _failure(visit, error, is_for_programs=is_for_programs)
    except HTTPException as error:
        return visit.page("error.html", error.status_code, heading=_HEADING.get(error.status_code), error=error.detail)


def _sign_in_first(visit: Visit, *, is_for_programs: bool) -> Response:
    request = visit.request
    event_of(request).outcome = Outcome.REJECTED
    if is_for_programs:
        return Response(_ENDED, 401, headers={"cache-control": "no-store"})
    if visit.is_partial:
        return _refresh() if request.method == "GET" else visit.page("signed_out_part.html", 401)
    if request.method == "GET":
        url = request.url
        return see_other(_sign_in_path(url.path + (f"?{url.query}" if url.query else "")))
    back = page_of_form(request.headers.get("referer", ""))
    return visit.page("signed_out.html", 401, sign_in=_sign_in_path(back))


def _sign_in_path(back: str) -> str:
    return f"{SIGN_IN}?{urlencode({'next': back})}"


def _refresh() -> Response:
    """To a part that refreshes itself: htmx loads the whole page anew, which leads to signing in."""
    return Response("You are signed out.", 401, headers={"hx-refresh": "true", "cache-control": "no-store"})


def _failure(visit: Visit, error: GatewayError, *, is_for_programs: bool) -> Response:
    wire = wire_error(error)
    event = event_of(visit.request)
    event.error_code, event.outcome = wire.code, wire.outcome
    if is_for_programs:
        return error_response(wire)
    heading = _HEADING.get(wire.status, "That did not work")
    return visit.page("error.html", wire.status, heading=heading, error=wire.message)
