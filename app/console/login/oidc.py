"""Signing in with an identity provider: out to it, and back; and signing out there."""

import base64
import json

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.admin.access.provider_sign_in import ProviderRules, sign_in_by_provider
from app.console.login.pages import admit, count_login, signed_in, throttled
from app.console.providers.client import LoginOnItsWay
from app.console.web.headers import PAGE_HEADERS
from app.console.web.same_origin import HOME, safe_path
from app.console.web.visit import Visit
from app.errors import ConfigurationError, GatewayError, NotFound, NotPermitted
from app.files.links import base_url
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.identity.providers.claims import read_person
from app.settings.console.providers import ProviderSpec

_METHOD = "oidc"
_SOMEBODY = Principal("oidc", Role.MEMBER)


async def go_to_provider(visit: Visit) -> Response:
    """Sends the browser to the provider. What it must bring back is in a cookie that only this browser has."""
    provider = _provider(visit)
    way_back = _way_back(visit, provider)
    try:
        client = await visit.site.providers.client(provider)
        url, login = await client.begin(way_back)
    except GatewayError:
        count_login(visit, _METHOD, "failed")
        raise
    response = RedirectResponse(url, 303, headers=PAGE_HEADERS)
    visit.cookies.keep_login(response, _written(provider, login, safe_path(visit.asked("next"))))
    return response


async def come_from_provider(visit: Visit) -> Response:
    """Signs in whom the provider sent back."""
    if not admit(visit, _METHOD):
        return throttled(visit)
    provider = _provider(visit)
    login, path = _read(visit.cookies.login(visit.request), provider)
    query = dict(visit.request.query_params)
    agent, bounds = visit.request.headers.get("user-agent", ""), visit.site.bounds
    try:
        client = await visit.site.providers.client(provider)
        claims = await client.finish(login, query, _way_back(visit, provider))
        person = read_person(claims, provider)
        rules = ProviderRules(provider, visit.services.settings.sign_in.groups)
        opened = await visit.services.administration.change(
            _SOMEBODY, lambda operator: sign_in_by_provider(operator, person, rules, agent, bounds)
        )
    except GatewayError as error:
        count_login(visit, _METHOD, "refused" if isinstance(error, NotPermitted) else "failed")
        raise
    response = signed_in(visit, _METHOD, opened, path)
    visit.cookies.drop_login(response)
    return response


async def leave_provider(visit: Visit) -> Response:
    """Sends the browser to where somebody signs out at the provider. Nothing changes here."""
    provider = _provider(visit)
    client = await visit.site.providers.client(provider)
    address = await client.sign_out_address()
    if address is None:
        raise NotFound(f"{provider.label} has no page to sign out that it tells of. Sign out on its own pages.")
    return RedirectResponse(address, 303, headers=PAGE_HEADERS)


def _provider(visit: Visit) -> ProviderSpec:
    found = visit.services.settings.sign_in.provider(visit.request.path_params["provider"])
    if found is None:
        raise HTTPException(404, "There is no such way to sign in.")
    return found


def _way_back(visit: Visit, provider: ProviderSpec) -> str:
    """The address that the provider sends browsers to; it must be registered there. Never made of the Host header."""
    settings = visit.services.settings
    base = base_url(settings.public_url, settings.host, visit.request.scope["server"][1])
    if base is None:
        raise ConfigurationError("Whoever runs this gateway must set GATEWAY_PUBLIC_URL before a provider can be used.")
    return f"{base}/console/oidc/{provider.name}/callback"


def _written(provider: ProviderSpec, login: LoginOnItsWay, path: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([provider.name, path, *login]).encode()).decode()


def _read(text: str, provider: ProviderSpec) -> tuple[LoginOnItsWay, str]:
    """What `_written` wrote, for the same provider; a browser can have changed only its own login."""
    try:
        name, path, state, nonce, code_verifier = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError, RecursionError):
        return LoginOnItsWay("", "", ""), HOME
    texts = (path, state, nonce, code_verifier)
    if name != provider.name or not all(isinstance(each, str) and each.isascii() for each in texts):
        return LoginOnItsWay("", "", ""), HOME
    return LoginOnItsWay(state, nonce, code_verifier), safe_path(path)
