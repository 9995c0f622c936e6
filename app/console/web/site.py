"""What all pages share: settings that matter to them, templates, static files, the throttle of logins."""

import asyncio
from collections.abc import Callable, Container, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from jinja2 import Environment
from starlette.requests import Request

from app.console.providers.client import ProviderClients
from app.console.web.assets import Assets
from app.console.web.cookies import Cookies
from app.identity.sessions.sessions import SessionBounds
from app.identity.sessions.throttle import Throttle
from app.settings.settings import Settings

_T = TypeVar("_T")

NOW_SECONDS = 2.0
"""How old the figures on Now may be when a browser asks for them again, which it does every five seconds."""


class SharedRead(Generic[_T]):
    """Gives everybody the result of the read that began at most `seconds` ago, also while it runs; else of a new one.
    For one event loop. Only for what does not depend on who looks: every visitor must be allowed to see all of it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = float("-inf")
        self._running: asyncio.Task[_T] | None = None

    async def get(self, read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Raises what `read` raises. A visitor who leaves does not end the read of the others."""
        now = asyncio.get_running_loop().time()
        if self._running is None or now >= self._until or _has_failed(self._running):
            self._until = now + self._seconds
            self._running = asyncio.get_running_loop().create_task(read(), name="shared read")
        return await asyncio.shield(self._running)


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


@dataclass(frozen=True, slots=True)
class Site:
    """Made once with the app."""

    settings: Settings
    assets: Assets
    templates: Environment
    throttle: Throttle
    providers: ProviderClients
    version: str
    now_read: SharedRead[Any] = field(default_factory=lambda: SharedRead(NOW_SECONDS))

    @property
    def bounds(self) -> SessionBounds:
        """When sessions end."""
        settings = self.settings
        return SessionBounds(
            timedelta(seconds=settings.session_idle_seconds), timedelta(seconds=settings.session_seconds)
        )

    @property
    def takes_admin_key(self) -> bool:
        """Whether GATEWAY_ADMIN_KEY signs in here."""
        return self.settings.admin_key is not None and self.settings.console_admin_key_login

    def cookies_for(self, request: Request) -> Cookies:
        """The cookies of a browser that came this way."""
        public_url = self.settings.public_url or ""
        return Cookies(is_secure=public_url.startswith("https:") or request.url.scheme == "https")

    def hosts_for(self, request: Request) -> Container[str]:
        """The names under which pages of ours are reached."""
        public = urlsplit(self.settings.public_url or "").netloc
        return {public} if public else {request.headers.get("host", "")}
