"""Signing in with the header of a proxy in front: believed from the proxy alone, and never enough for an admin."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.admin.users import create_user, disable_user, put_user
from app.identity.people.roles import Role
from tests.console.conftest import Browser, Console, console_settings
from tests.servers import RunningGateway

HEADER = "X-Forwarded-User"


@contextmanager
def behind_proxy(folder: Path, store_url: str, cidrs: str = "10.9.9.9, 127.0.0.0/8") -> Iterator[Console]:
    settings = console_settings(folder / "data", store_url, console_proxy_header=HEADER, console_proxy_cidrs=cidrs)
    with RunningGateway(settings) as gateway:
        console = Console(gateway, [])
        yield console
        for browser in console.browsers:
            browser.client.close()


@pytest.fixture
def behind(tmp_path: Path, store_url: str) -> Iterator[Console]:
    with behind_proxy(tmp_path, store_url) as found:
        yield found


def named(console: Console, *names: str) -> Browser:
    """A browser whose proxy says who it is."""
    browser = console.browser()
    browser.client.headers.update([(HEADER, name) for name in names])
    return browser


def page_of(browser: Browser, path: str = "/console/me/usage") -> int:
    browser.client.follow_redirects = True
    return browser.get(path).status_code


def test_the_proxy_names_who_visits(behind: Console) -> None:
    create_user(behind.operator, "vera")
    browser = named(behind, "vera")
    answer = browser.get("/console/me/usage?x=1")
    assert answer.headers["location"].startswith("/console/sign-in?next=")
    answer = browser.get(answer.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/me/usage?x=1")
    assert page_of(browser) == 200
    assert behind.gateway.metric("zenmux_gateway_logins_total", method="proxy", result="ok") == 1


def test_whoever_signs_out_at_the_proxy_is_signed_out_here(behind: Console) -> None:
    for name in ("vera", "wim"):
        create_user(behind.operator, name)
    browser = named(behind, "vera")
    assert page_of(browser) == 200
    browser.client.headers[HEADER] = "wim"
    browser.client.follow_redirects = False
    assert browser.get("/console/me/usage").status_code == 303
    assert page_of(browser) == 200
    assert "wim" in browser.get("/console/me/usage").text
    del browser.client.headers[HEADER]
    browser.client.follow_redirects = False
    assert browser.get("/console/me/usage").status_code == 303


def test_a_header_makes_nobody_an_admin(behind: Console) -> None:
    put_user(behind.operator, "root", {"role": Role.ADMIN})
    browser = named(behind, "root")
    assert page_of(browser, "/console/now") == 200
    assert browser.post("/console/people/users", name="made").status_code == 403


def test_strangers_and_the_disabled_are_refused(behind: Console) -> None:
    create_user(behind.operator, "gone")
    disable_user(behind.operator, "gone")
    user_id = create_user(behind.operator, "vera").user.id
    for name in ("gone", "nobody", user_id, "x" * 5000):
        assert named(behind, name).get("/console/sign-in").status_code == 403
    assert behind.gateway.metric("zenmux_gateway_logins_total", method="proxy", result="refused") == 4


def test_two_names_are_none(behind: Console) -> None:
    create_user(behind.operator, "vera")
    client = behind.browser().client
    answer = client.get("/console/sign-in", headers=[(HEADER, "vera"), (HEADER, "root")])
    assert answer.status_code == 200
    assert client.get("/console/sign-in", headers={HEADER: ""}).status_code == 200


def test_from_elsewhere_the_header_says_nothing(tmp_path: Path, store_url: str) -> None:
    with behind_proxy(tmp_path, store_url, "10.9.9.9") as console:
        create_user(console.operator, "vera")
        assert named(console, "vera").get("/console/sign-in").status_code == 200
        assert named(console, "vera").get("/console/me/usage").status_code == 303


@pytest.mark.parametrize("path", ["/v1/models", "/v1/usage", "/admin/v1/users"])
def test_it_opens_the_console_alone(behind: Console, path: str) -> None:
    create_user(behind.operator, "vera")
    assert named(behind, "vera").get(path).status_code == 401


@pytest.mark.parametrize("cidrs", ["*", "0.0.0.0/0", "::/0", "10.0.0.0/8, 0.0.0.0/0", "proxy.example.com", ""])
def test_whom_to_believe_must_be_said(tmp_path: Path, cidrs: str) -> None:
    with pytest.raises(ValidationError):
        console_settings(tmp_path, "sqlite://", console_proxy_header=HEADER, console_proxy_cidrs=cidrs)
    with pytest.raises(ValidationError):
        console_settings(tmp_path, "sqlite://", console_proxy_cidrs="10.0.0.1")
