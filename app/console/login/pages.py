"""Signing in and out: one-time links, the admin key, the theme that is kept beside. Every try is counted."""

import asyncio
import hmac
from urllib.parse import urlencode

from starlette.responses import Response

from app.admin.access.sign_in import (
    OpenedSession,
    show_link,
    sign_in_as_admin_key,
    sign_in_by_link,
    sign_in_by_proxy,
    sign_out,
)
from app.console.web.guard import proxy_user, session_of
from app.console.web.same_origin import HOME, safe_path
from app.console.web.visit import Visit, see_other
from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role

_ADMIN_KEY = Principal("admin-key", Role.ADMIN)


async def show_sign_in(visit: Visit) -> Response:
    """The page with the ways to sign in; those who are signed in, here or by a proxy in front, are sent on."""
    path = safe_path(visit.asked("next"))
    if await session_of(visit.request, visit.site) is not None:
        return see_other(path)
    name = proxy_user(visit.request)
    return _sign_in_page(visit, path) if name is None else await _sign_in_by_proxy(visit, name, path)


async def sign_in_with_key(visit: Visit) -> Response:
    """Signs in whoever has GATEWAY_ADMIN_KEY."""
    form = await visit.form()
    if not admit(visit, "admin-key"):
        return throttled(visit)
    admin_key = visit.services.settings.admin_key if visit.site.takes_admin_key else None
    expected = b"" if admin_key is None else admin_key.get_secret_value().encode()
    is_right = hmac.compare_digest(form.get("key").encode(), expected) and admin_key is not None
    if not is_right:
        count_login(visit, "admin-key", "refused")
        return _sign_in_page(visit, safe_path(form.get("next")), "This is not the admin key.")
    agent, bounds = visit.request.headers.get("user-agent", ""), visit.site.bounds
    opened = await visit.services.administration.change(
        _ADMIN_KEY, lambda operator: sign_in_as_admin_key(operator, agent, bounds)
    )
    return signed_in(visit, "admin-key", opened, safe_path(form.get("next")))


async def show_link_page(visit: Visit) -> Response:
    """A page with a button, because programs that preview a link fetch it too; the link of `dev` signs in at once."""
    token: str = visit.request.path_params["token"]
    link = await visit.services.administration.read(_ADMIN_KEY, lambda operator: show_link(operator, token))
    if link is not None and link.is_direct and is_opened(visit):
        return await use_link_page(visit)
    return visit.page("link.html", 200 if link is not None else 404, link=link)


async def use_link_page(visit: Visit) -> Response:
    """Signs in with a link, which never works again."""
    if not admit(visit, "link"):
        return throttled(visit)
    token: str = visit.request.path_params["token"]
    agent, bounds = visit.request.headers.get("user-agent", ""), visit.site.bounds
    opened = await visit.services.administration.change(
        Principal("link", Role.MEMBER), lambda operator: sign_in_by_link(operator, token, agent, bounds)
    )
    if opened is None:
        count_login(visit, "link", "refused")
        return visit.page("link.html", 404, link=None)
    return signed_in(visit, "link", opened, HOME)


async def sign_out_page(visit: Visit) -> Response:
    """Ends the session, here and in the database."""
    session = visit.session
    assert session is not None
    await visit.change(lambda operator: sign_out(operator, session.id, session.user_id))
    by = {"by": session.method} if session.method == "oidc" else {}  # who may still be signed in there
    response = visit.to("/console/sign-in", "signed-out", **by)
    visit.cookies.drop_token(response)
    return response


async def keep_theme(visit: Visit) -> Response:
    """Keeps the chosen theme in a cookie, and goes back."""
    form = await visit.form()
    response = see_other(safe_path(form.get("back")))
    visit.cookies.keep_theme(response, form.get("theme"))
    return response


async def _sign_in_by_proxy(visit: Visit, name: str, path: str) -> Response:
    if not admit(visit, "proxy"):
        return throttled(visit)
    agent, bounds = visit.request.headers.get("user-agent", ""), visit.site.bounds
    try:
        opened = await visit.services.administration.change(
            Principal("proxy", Role.MEMBER), lambda operator: sign_in_by_proxy(operator, name, agent, bounds)
        )
    except NotPermitted:
        count_login(visit, "proxy", "refused")
        raise
    return signed_in(visit, "proxy", opened, path)


def _sign_in_page(visit: Visit, path: str, error: str | None = None) -> Response:
    providers = [
        (each.label, f"/console/oidc/{each.name}?{urlencode({'next': path})}", f"/console/oidc/{each.name}/sign-out")
        for each in visit.services.settings.sign_in.providers
    ]
    return visit.page("sign_in.html", 403 if error else 200, next=path, error=error, providers=providers)


def is_opened(visit: Visit) -> bool:
    """Whether somebody opens the page, and no program looks ahead."""
    headers = visit.request.headers
    return visit.request.method == "GET" and "purpose" not in headers and "sec-purpose" not in headers


def admit(visit: Visit, method: str) -> bool:
    """Whether this try is heard."""
    client = visit.request.client
    address = client.host if client is not None else ""
    if visit.site.throttle.admit(address, asyncio.get_running_loop().time()):
        return True
    count_login(visit, method, "throttled")
    return False


def throttled(visit: Visit) -> Response:
    error = "There were too many tries to sign in. Wait a minute, then try again."
    return visit.page("error.html", 429, heading="Wait a minute", error=error)


def signed_in(visit: Visit, method: str, opened: OpenedSession, path: str) -> Response:
    """Every login makes a new token, so one that was planted before is worth nothing."""
    count_login(visit, method, "ok")
    response = see_other(path)
    visit.cookies.keep_token(response, opened.token.get_secret_value(), visit.site.bounds)
    return response


def count_login(visit: Visit, method: str, result: str) -> None:
    visit.services.metrics.logins.labels(method, result).inc()
