"""Asks identity providers over OpenID Connect, with Authlib: code flow with PKCE, state and nonce. Knows no user.

Authlib is an extra, so it is imported only where a provider is configured.
"""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx2

from app.errors import NotPermitted, RemoteFailure
from app.settings.console.providers import ProviderSpec
from app.settings.settings import Settings
from app.upstream.wire.certificates import trusted
from app.upstream.wire.proxies import proxy_of

logger = logging.getLogger("gateway")

_SECONDS_MAX = 15.0  # for all that one step of a login asks
_BYTES_MAX = 1_048_576  # of one answer
_METADATA_SECONDS = 3600.0
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


class LoginOnItsWay(NamedTuple):
    """What the browser keeps while the provider is asked: nobody else can end this login."""

    state: str
    nonce: str
    code_verifier: str


class ProviderClients:
    """One client for each provider. For one event loop. Metadata and keys are asked for again after an hour."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[ProviderSpec, tuple[ProviderClient, float]] = {}

    async def client(self, spec: ProviderSpec) -> "ProviderClient":
        """The client for this provider. Of a reload, only the newest specs are kept."""
        now = asyncio.get_running_loop().time()
        found = self._clients.get(spec)
        if found is not None and now - found[1] <= _METADATA_SECONDS:
            return found[0]
        # Loading Authlib and the system's certificates takes half a second: requests go on meanwhile.
        made = await asyncio.to_thread(ProviderClient, spec, self._settings)
        self._clients = {each: kept for each, kept in self._clients.items() if each.name != spec.name}
        self._clients[spec] = (made, now)
        return made


class ProviderClient:
    """One provider. Every method raises RemoteFailure if it cannot be reached or answers with nonsense."""

    def __init__(self, spec: ProviderSpec, settings: Settings) -> None:
        from authlib.integrations.starlette_client import StarletteOAuth2App
        from authlib.integrations.starlette_client.integration import StarletteIntegration

        self._spec = spec
        self._app = StarletteOAuth2App(
            StarletteIntegration(spec.name),
            name=spec.name,
            client_id=spec.client_id,
            client_secret=None if spec.client_secret is None else spec.client_secret.get_secret_value(),
            server_metadata_url=f"{spec.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(spec.scopes),
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "none" if spec.client_secret is None else "client_secret_basic",
            },
        )
        self._app.client_cls = _bounded_client(settings, spec.issuer)
        self._asking = asyncio.Lock()

    async def begin(self, redirect_uri: str) -> tuple[str, LoginOnItsWay]:
        """Where to send the browser, and what it keeps meanwhile."""
        async with self._answers():
            await self._load_metadata()
            made: dict[str, Any] = await self._app.create_authorization_url(redirect_uri)
            return made["url"], LoginOnItsWay(made["state"], made["nonce"], made["code_verifier"])

    async def finish(self, login: LoginOnItsWay, query: Mapping[str, str], redirect_uri: str) -> dict[str, object]:
        """The verified claims of who has come back with this query. Raises NotPermitted if the provider refused them,
        or if this browser did not begin the login."""
        if not hmac.compare_digest(query.get("state", "").encode(), login.state.encode()) or not login.state:
            raise NotPermitted("This browser did not begin this login, or began another one since. Sign in again.")
        if query.get("iss", self._spec.issuer) != self._spec.issuer:  # RFC 9207
            raise NotPermitted("Another provider answered than was asked. Sign in again.")
        if "error" in query or "code" not in query:
            raise NotPermitted(f"{self._spec.label} did not sign you in: {_shown(query.get('error', 'no code came'))}.")
        async with self._answers():
            await self._load_metadata()
            token: dict[str, Any] = await self._app.fetch_access_token(
                code=query["code"], redirect_uri=redirect_uri, code_verifier=login.code_verifier
            )
            if "id_token" not in token:
                raise ValueError("it sent no id_token")
            expected = {"iss": self._spec.issuer, "aud": self._spec.client_id}
            claims = await self._app.parse_id_token(
                token,
                nonce=login.nonce,
                claims_options={name: {"essential": True, "value": value} for name, value in expected.items()},
            )
            return await self._with_userinfo(dict(claims), token)

    async def sign_out_address(self) -> str | None:
        """Where somebody signs out at the provider; None if it has no such page. Without a token or a way back, which
        would have to be kept and registered: the provider asks the person, and shows its own page at the end.
        """
        async with self._answers():
            await self._load_metadata()
            found = self._app.server_metadata.get("end_session_endpoint")
            if found is None:
                return None
            if not isinstance(found, str) or urlsplit(found).scheme not in ("http", "https"):
                raise ValueError(f"its end_session_endpoint is {_shown(found)}")
            return f"{found}{'&' if '?' in found else '?'}{urlencode({'client_id': self._spec.client_id})}"

    async def _with_userinfo(self, claims: dict[str, object], token: dict[str, Any]) -> dict[str, object]:
        """Providers may keep names and groups out of the token, and tell them when asked."""
        wanted = {self._spec.name_claim.partition(".")[0], self._spec.groups_claim.partition(".")[0]}
        if wanted <= claims.keys() or not self._app.server_metadata.get("userinfo_endpoint"):
            return claims
        more = await self._app.userinfo(token=token)
        if more.get("sub") != claims.get("sub"):
            raise ValueError("it told of somebody else")
        return {**more, **claims}

    async def _load_metadata(self) -> None:
        async with self._asking:
            metadata: dict[str, Any] = await self._app.load_server_metadata()
        if metadata.get("issuer") != self._spec.issuer:
            metadata.pop("_loaded_at", None)  # ask again: somebody may mend it
            raise ValueError(f"it calls itself {_shown(metadata.get('issuer'))}")
        named = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in named if name in _ALGORITHMS]

    @asynccontextmanager
    async def _answers(self) -> AsyncIterator[None]:
        """Turns whatever can go wrong between here and the provider into one error."""
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            async with asyncio.timeout(_SECONDS_MAX):
                yield
        except (httpx2.HTTPError, TimeoutError) as error:
            self._note(error)
            raise RemoteFailure(f"{self._spec.label} cannot be reached. Try again shortly.") from None
        except (AuthlibBaseError, JoseError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._note(error)
            raise RemoteFailure(
                f"{self._spec.label} answered with something that signs nobody in. The gateway's log says what."
            ) from None

    def _note(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {_shown(str(error))}"
        logger.warning("provider_failed", extra={"provider": self._spec.name, "reason": reason})


class BoundedTransport(httpx2.AsyncBaseTransport):
    """No answer is longer than what a provider has to say."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        try:
            body = bytearray()
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx2.DecodingError("the answer is compressed, which was not asked for", request=request)
            assert isinstance(response.stream, httpx2.AsyncByteStream), "asked without blocking"
            async for chunk in response.stream:
                body += chunk
                if len(body) > _BYTES_MAX:
                    raise httpx2.ReadError(f"the answer is longer than {_BYTES_MAX} bytes", request=request)
        finally:
            await response.aclose()
        return httpx2.Response(
            response.status_code, headers=response.headers, content=bytes(body), extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


def _bounded_client(settings: Settings, issuer: str) -> type:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    tls, proxy = trusted(settings), proxy_of(settings, issuer)

    class Client(AsyncOAuth2Client):  # type: ignore[misc]  # Authlib has no types
        """Authlib's, with the gateway's own way out."""

        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Authlib's
            super().__init__(
                *arguments,
                transport=BoundedTransport(httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, proxy=proxy)),
                headers={"accept-encoding": "identity"},
                trust_env=False,
                follow_redirects=False,
                **options,
            )

    return Client


def _shown(value: object) -> str:
    """What others wrote, on one short line."""
    text = str(value)[:200]
    return "".join(character if character.isprintable() else " " for character in text)
