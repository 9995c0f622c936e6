"""Signing in by link and by admin key, as a browser without JavaScript does it."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import text

from app.admin.access.sign_in import create_link
from app.admin.operator import Operator
from app.database.engine import writing
from app.main import utc_now
from tests.console.conftest import ADMIN_KEY, FROM_HERE, Console


def test_a_link_shows_a_button_and_works_once(console: Console) -> None:
    """Chat programs fetch a link for their preview: that must not use it up."""
    link, browser = console.link("vera"), console.browser()
    for _ in range(2):
        shown = browser.get(link)
        assert (shown.status_code, "Sign in as <bdi>vera</bdi>" in shown.text) == (200, True)
        assert httpx2.head(f"{console.gateway.root}{link}").status_code == 200
    assert browser.post(link).headers["location"] == "/console"
    assert browser.get("/console/me/usage").status_code == 200
    again = console.browser().post(link)
    assert (again.status_code, "does not work" in again.text) == (404, True)
    assert console.browser().get(link).status_code == 404
    assert console.gateway.metric("zenmux_gateway_logins_total", method="link", result="ok") == 1
    assert console.gateway.metric("zenmux_gateway_logins_total", method="link", result="refused") == 1


def test_a_link_is_over_after_ten_minutes(console: Console) -> None:
    console.link("vera")
    earlier = Operator(console.gateway.store.engine, lambda: utc_now() - timedelta(minutes=11), "cli:test")
    late = f"/console/link/{create_link(earlier, 'vera').get_secret_value()}"
    assert console.browser().post(late).status_code == 404


@pytest.mark.parametrize("token", ["x", "A" * 43, "é" * 43, "%00", "." * 43])
def test_a_token_that_is_none_opens_nothing(console: Console, token: str) -> None:
    assert console.browser().get(f"/console/link/{token}").status_code == 404
    assert console.browser().post(f"/console/link/{token}").status_code == 404


def test_the_link_of_a_trial_signs_in_when_it_is_opened_and_not_when_it_is_looked_at(console: Console) -> None:
    console.link("vera")
    token = create_link(console.operator, "vera", "admin", is_direct=True).get_secret_value()
    path, browser = f"/console/link/{token}", console.browser()
    assert httpx2.head(f"{console.gateway.root}{path}").status_code == 200
    assert browser.get(path, headers={"sec-purpose": "prefetch"}).status_code == 200
    assert browser.get(path).headers["location"] == "/console"
    assert browser.get("/console").headers["location"] == "/console/now"


def test_a_link_may_give_a_role_for_its_session(console: Console) -> None:
    assert console.signed_in("vera", "admin").get("/console/now").status_code == 200
    assert console.signed_in("vera").get("/console/now").status_code == 403


def test_the_admin_key_signs_in_with_a_warning_and_owns_nothing(console: Console) -> None:
    browser = console.browser()
    assert browser.post("/console/sign-in", key=ADMIN_KEY[:-1]).status_code == 403
    signed_in = browser.post("/console/sign-in", key=ADMIN_KEY, next="/console/limits?x=1")
    assert signed_in.headers["location"] == "/console/limits?x=1"
    assert "signed in with the admin key" in browser.get("/console/limits").text
    assert browser.get("/console/me/usage").status_code == 403
    assert "admin-key" in browser.get("/console/me/sessions").text
    assert browser.get("/console/sign-in").headers["location"] == "/console"


def test_the_cookie_is_for_this_host_and_not_for_scripts(console: Console) -> None:
    answer = console.browser().post("/console/sign-in", key=ADMIN_KEY)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "Max-Age=604800" in cookie


def test_a_session_ends_when_nobody_uses_it_and_when_its_time_is_over(console: Console) -> None:
    for column, seconds in (("seen_at_ms", 8 * 3600 + 1), ("ends_at_ms", 7 * 86400 + 1)):
        browser = console.signed_in("vera")
        with writing(console.gateway.store.engine) as connection:
            connection.execute(text(f"UPDATE sessions SET {column} = {column} - {seconds * 1000}"))
        assert browser.get("/console/me/usage").status_code == 303
        form = browser.post("/console/me/sessions", session="x")
        assert (form.status_code, "ended before the form was sent" in form.text) == (401, True)
        assert 'href="/console/sign-in?next=%2Fconsole"' in form.text
        polled = browser.get("/console/now", headers={"hx-request": "true"})
        assert (polled.status_code, polled.headers["hx-refresh"]) == (401, "true")


@pytest.mark.parametrize(
    ("referer", "path"),
    [
        ("http://127.0.0.1:1/console/limits?owner=vera", "/console/limits?owner=vera"),
        ("https://evil.example/elsewhere", "/console"),
        ("https://evil.example/console/../x", "/console"),
        ("http://[", "/console"),
    ],
)
def test_whoever_sent_a_form_too_late_comes_back_to_its_page(console: Console, referer: str, path: str) -> None:
    """Where that is, the browser says. Whoever has signed in meanwhile, in another tab, is there at once."""
    late = console.browser().post("/console/limits", {**FROM_HERE, "referer": referer}, amount="5")
    [way] = re.findall(r'<a class="button" href="(/console/sign-in\?[^"]+)"', late.text)
    assert parse_qs(urlsplit(way).query) == {"next": [path]}
    assert console.signed_in("vera").get(way).headers["location"] == path


def test_a_part_that_was_asked_for_too_late_says_so_and_loads_nothing_anew(console: Console) -> None:
    """What is typed beside it would be gone."""
    late = console.browser().post("/console/me/playground", {**FROM_HERE, "hx-request": "true"}, prompt="x")
    assert (late.status_code, "hx-refresh" in late.headers, "<html" in late.text) == (401, False, False)
    assert "What you typed is still here" in late.text


def test_a_theme_is_kept(console: Console) -> None:
    browser = console.signed_in("vera")
    assert 'data-theme="dark"' not in browser.get("/console/me/usage").text
    kept = browser.post("/console/theme", theme="dark", back="/console/me/usage")
    assert kept.headers["location"] == "/console/me/usage"
    assert '<html lang="en" data-theme="dark">' in browser.get("/console/me/usage").text
    browser.post("/console/theme", theme="neither", back="/console/me/usage")
    assert "data-theme=" not in browser.get("/console/me/usage").text.split("<body>")[0]


def test_signing_in_is_in_the_list_of_changes_without_a_token(console: Console) -> None:
    browser = console.signed_in("vera")
    browser.post("/console/sign-out", FROM_HERE)
    with writing(console.gateway.store.engine) as connection:
        rows = [tuple(row) for row in connection.execute(text("SELECT actor, action FROM admin_events"))]
    assert {("cli:test", "login_link.create"), ("user:vera", "session.open"), ("user:vera", "session.end")} <= set(rows)
