"""What all pages share: settings that matter to them, templates, static files, the throttle of logins."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from jinja2 import Environment
from starlette.requests import Request

from app.console.providers.client import ProviderClients
from app.console.web.assets import Assets
from app.console.web.cookies import Cookies
from app.identity.sessions.sessions import SessionBounds
from app.identity.sessions.throttle import Throttle
from app.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """Made once with the app."""

    settings: Settings
    assets: Assets
    templates: Environment
    throttle: Throttle
    providers: ProviderClients
    version: str

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
