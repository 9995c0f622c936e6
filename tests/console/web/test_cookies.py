"""The cookies, over http and over https."""

from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response

from app.console.web.cookies import Cookies
from app.identity.sessions.sessions import SessionBounds

BOUNDS = SessionBounds(timedelta(hours=8), timedelta(days=7))


def a_request(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})


@pytest.mark.parametrize(("is_secure", "name"), [(True, "__Host-zg_session"), (False, "zg_session")])
def test_the_session_is_kept_for_its_lifetime(is_secure: bool, name: str) -> None:
    cookies, response = Cookies(is_secure=is_secure), Response()
    cookies.keep_token(response, "secret", BOUNDS)
    written = response.headers["set-cookie"]
    assert written.startswith(f"{name}=secret; HttpOnly; Max-Age=604800; Path=/; SameSite=lax")
    assert ("Secure" in written) is is_secure
    assert cookies.token(a_request(f"{name}=secret")) == "secret"


def test_over_https_only_the_cookie_counts_that_no_other_host_can_set() -> None:
    assert Cookies(is_secure=True).token(a_request("zg_session=planted")) == ""


def test_it_is_forgotten() -> None:
    response = Response()
    Cookies(is_secure=True).drop_token(response)
    assert "__Host-zg_session=" in response.headers["set-cookie"]
    assert "Max-Age=0" in response.headers["set-cookie"]


def test_only_themes_that_there_are_count() -> None:
    cookies = Cookies(is_secure=False)
    assert cookies.theme(a_request("zg_theme=dark")) == "dark"
    assert cookies.theme(a_request("zg_theme=<b>")) is None
    assert cookies.theme(a_request("a=b")) is None
