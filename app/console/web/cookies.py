"""The cookies of the console: the session's, that of a login on its way, and the chosen theme."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from app.identity.sessions.sessions import SessionBounds

THEMES = ("light", "dark")

_PLAIN, _HOST = "zg_session", "__Host-zg_session"
_PLAIN_LOGIN, _HOST_LOGIN = "zg_login", "__Host-zg_login"
_LOGIN_SECONDS = 600
_THEME = "zg_theme"
_YEAR_SECONDS = 31_536_000


@dataclass(frozen=True, slots=True)
class Cookies:
    """`is_secure`: the browser is on https. The prefix `__Host-` then keeps other hosts from setting ours."""

    is_secure: bool

    @property
    def _session(self) -> str:
        return _HOST if self.is_secure else _PLAIN

    def token(self, request: Request) -> str:
        """The session's token that the browser sent, or an empty text."""
        return request.cookies.get(self._session, "")

    def keep_token(self, response: Response, token: str, bounds: SessionBounds) -> None:
        """Gives the browser the session's token, for as long as the session can last."""
        seconds = int(bounds.lifetime.total_seconds())
        response.set_cookie(
            self._session, token, seconds, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )

    def drop_token(self, response: Response) -> None:
        """Makes the browser forget it."""
        response.delete_cookie(self._session, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def login(self, request: Request) -> str:
        """What was kept of a login while a provider is asked, or an empty text. The browser may have written it."""
        return request.cookies.get(self._login, "")

    def keep_login(self, response: Response, text: str) -> None:
        """Keeps a login on its way for ten minutes."""
        response.set_cookie(
            self._login, text, _LOGIN_SECONDS, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )

    def drop_login(self, response: Response) -> None:
        """It has ended, well or not."""
        response.delete_cookie(self._login, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    @property
    def _login(self) -> str:
        return _HOST_LOGIN if self.is_secure else _PLAIN_LOGIN

    def theme(self, request: Request) -> str | None:
        """`light`, `dark`, or None: whatever the system has."""
        found = request.cookies.get(_THEME, "")
        return found if found in THEMES else None

    def keep_theme(self, response: Response, theme: str) -> None:
        """Keeps a theme; a word that is none makes the browser forget it."""
        if theme in THEMES:
            response.set_cookie(
                _THEME, theme, _YEAR_SECONDS, path="/", secure=self.is_secure, httponly=True, samesite="lax"
            )
        else:
            response.delete_cookie(_THEME, path="/")
