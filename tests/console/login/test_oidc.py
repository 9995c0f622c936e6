"""Signing in with a real identity provider."""

import base64
import json
from asyncio import StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from app.admin.teams import create_team
from app.admin.users import show_user
from app.console.providers.client import BoundedTransport
from app.settings.console.providers import GroupRule, GroupRules, Newcomers, ProviderSpec, SignInSpec
from tests.console.conftest import Browser, Console, console_settings
from tests.console.login.provider import NODE, identity_provider, sign_in_there
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import RunningGateway, free_port

PEOPLE: dict[str, dict[str, Any]] = {
    "sub-1": {
        "preferred_username": "alice",
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["design"],
    },
    "sub-2": {"preferred_username": "mallory", "groups": ["others"]},
    "sub-3": {"preferred_username": "</script><b>", "groups": ["design"]},
}
DEEP = base64.urlsafe_b64encode(b"[" * 6000).decode()
HALVES = base64.urlsafe_b64encode(json.dumps(["company", "/console", "\ud800", "\ud800", "\ud800"]).encode()).decode()
GROUPS = GroupRules((GroupRule("design", "design", "lead"),), frozenset({"platform"}))

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")


@dataclass
class Company:
    """A console, and a provider that knows PEOPLE."""

    console: Console
    issuer: str

    def start(self, browser: Browser, **query: str) -> str:
        """Where the console sends a browser."""
        answer = browser.get("/console/oidc/company", params=query)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def come_back(self, browser: Browser, subject: str, **query: str) -> str:
        """The address that brings this person back from the provider."""
        with httpx2.Client(timeout=30) as at_provider:
            away = self.start(browser, **query)
            return sign_in_there(at_provider, away, subject, f"{self.console.gateway.root}/console/")

    def sign_in(self, subject: str, **query: str) -> tuple[Browser, httpx2.Response]:
        browser = self.console.browser()
        return browser, browser.get(self.come_back(browser, subject, **query))

    def count(self, result: str) -> float:
        return self.console.gateway.metric("zenmux_gateway_logins_total", method="oidc", result=result)


@contextmanager
def company(
    folder: Path, store_url: str, *, is_public: bool = False, userinfo: bool = False, host: str = "127.0.0.1"
) -> Iterator[Company]:
    """`host`: the name by which the gateway asks the provider, which calls itself 127.0.0.1."""
    port = free_port()
    spec = ProviderSpec(
        "company",
        "Company login",
        f"http://{host}:{port}",
        "public" if is_public else "gateway",
        None if is_public else SecretStr("not-a-secret"),
        scopes=("openid", "profile", "email", "groups"),
        newcomers=Newcomers.GROUPS,
    )
    settings = console_settings(folder / "data", store_url).with_sign_in(SignInSpec((spec,), GROUPS))
    with RunningGateway(settings) as gateway:
        way_back = f"{gateway.root}/console/oidc/company/callback"
        console = Console(gateway, [])
        create_team(console.operator, "design")
        with identity_provider(port, [way_back], PEOPLE, userinfo=userinfo):
            yield Company(console, spec.issuer)
        for browser in console.browsers:
            browser.client.close()


@pytest.fixture
def at_work(tmp_path: Path, store_url: str) -> Iterator[Company]:
    with company(tmp_path, store_url) as found:
        yield found


def test_a_person_signs_in_and_becomes_a_user(at_work: Company) -> None:
    page = at_work.console.browser().get("/console/sign-in").text
    assert "Continue with Company login" in page
    browser, answer = at_work.sign_in("sub-1", next="/console/me/usage")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/me/usage")
    assert browser.get("/console/me/usage").status_code == 200
    view = show_user(at_work.console.operator, "alice")
    assert (view.user.role, view.user.team_name, view.keys) == ("lead", "design", ())
    assert at_work.count("ok") == 1
    assert browser.client.cookies.get("zg_login") is None


def test_what_goes_out_is_code_with_pkce_state_and_nonce(at_work: Company) -> None:
    query = parse_qs(urlsplit(at_work.start(at_work.console.browser())).query)
    assert (query["response_type"], query["code_challenge_method"]) == (["code"], ["S256"])
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= query.keys()


def test_strangers_are_refused_and_learn_what_to_do(at_work: Company) -> None:
    browser, answer = at_work.sign_in("sub-2")
    assert answer.status_code == 403
    assert "--subject sub-2" in answer.text
    assert browser.token is None
    assert at_work.count("refused") == 1


def test_names_are_never_markup(at_work: Company) -> None:
    browser, answer = at_work.sign_in("sub-3")
    assert answer.status_code == 303
    page = browser.get("/console/me/usage").text
    assert "</script><b>" not in page
    assert "&lt;/script&gt;&lt;b&gt;" in page


@pytest.mark.parametrize(
    "change", [("state=", "state=x"), ("iss=http", "iss=https"), ("code=", "error=access_denied&no="), ("code=", "no=")]
)
def test_an_address_that_was_changed_signs_nobody_in(at_work: Company, change: tuple[str, str]) -> None:
    browser = at_work.console.browser()
    answer = browser.get(at_work.come_back(browser, "sub-1").replace(*change, 1))
    assert answer.status_code == 403
    assert browser.token is None


def test_another_browser_cannot_end_a_login(at_work: Company) -> None:
    """Otherwise a link could sign somebody in as another person, whose keys they then use."""
    address = at_work.come_back(at_work.console.browser(), "sub-1")
    other = at_work.console.browser()
    assert other.get(address).status_code == 403
    at_work.start(other)
    assert other.get(address).status_code == 403
    assert other.token is None


def test_a_code_works_once(at_work: Company) -> None:
    browser = at_work.console.browser()
    address, login = at_work.come_back(browser, "sub-1"), browser.client.cookies.get("zg_login")
    assert browser.get(address).status_code == 303
    browser.client.cookies.clear()
    browser.client.cookies.set("zg_login", login or "", domain="127.0.0.1")
    assert browser.get(address).status_code == 502
    assert browser.token is None


def test_nobody_is_sent_elsewhere_afterwards(at_work: Company) -> None:
    _, answer = at_work.sign_in("sub-1", next="https://evil.example/console")
    assert answer.headers["location"] == "/console"


@pytest.mark.parametrize("kept", ["", "x", "W10=", "eyJhIjoxfQ==", "WzEsMiwzLDQsNV0=", DEEP, HALVES])
def test_a_cookie_of_whatever_kind_signs_nobody_in(at_work: Company, kept: str) -> None:
    browser = at_work.console.browser()
    browser.client.cookies.set("zg_login", kept)
    assert browser.get("/console/oidc/company/callback?code=x&state=").status_code == 403
    assert browser.get("/console/oidc/company/callback?code=x&state=x").status_code == 403


def test_there_is_only_what_is_configured(at_work: Company) -> None:
    browser = at_work.console.browser()
    assert browser.get("/console/oidc/other").status_code == 404
    assert browser.get("/console/oidc/other/callback").status_code == 404


@pytest.mark.parametrize("options", [{"is_public": True}, {"userinfo": True}])
def test_public_clients_and_claims_that_are_told_when_asked(tmp_path: Path, options: dict[str, Any]) -> None:
    with company(tmp_path, f"sqlite:///{tmp_path}/gateway.db", **options) as found:
        assert found.sign_in("sub-1")[1].status_code == 303
        assert show_user(found.console.operator, "alice").user.role == "lead"


def test_signing_out_leads_to_the_provider_for_whoever_wants_that(at_work: Company) -> None:
    browser, _ = at_work.sign_in("sub-1")
    gone = browser.post("/console/sign-out").headers["location"]
    assert gone == "/console/sign-in?by=oidc&done=signed-out"
    assert '<a href="/console/oidc/company/sign-out">Sign out at Company login too</a>' in browser.get(gone).text
    away = browser.get("/console/oidc/company/sign-out")
    assert (away.status_code, away.headers["location"]) == (303, f"{at_work.issuer}/session/end?client_id=gateway")
    assert browser.get("/console/oidc/other/sign-out").status_code == 404
    by_link = at_work.console.signed_in("vera")
    assert by_link.post("/console/sign-out").headers["location"] == "/console/sign-in?done=signed-out"


@pytest.mark.parametrize(
    ("endpoint", "status", "said"),
    [
        ({}, 404, "has no page to sign out"),
        ({"end_session_endpoint": "javascript:alert(1)"}, 502, "signs nobody in"),
        ({"end_session_endpoint": ["x"]}, 502, "signs nobody in"),
        (
            {"end_session_endpoint": "https://id.example.com/end?a=b"},
            303,
            "https://id.example.com/end?a=b&client_id=gateway",
        ),
    ],
)
def test_signing_out_at_the_provider_goes_where_its_metadata_say(
    tmp_path: Path, endpoint: dict[str, Any], status: int, said: str
) -> None:
    async def answer(_: RawRequest, writer: StreamWriter) -> None:
        writer.write(document(json.dumps({"issuer": issuer, **endpoint}).encode()))

    with RawUpstream(answer) as provider:
        issuer = provider.url.removesuffix("/v1")
        spec = ProviderSpec("company", "Company login", issuer, "gateway")
        settings = console_settings(tmp_path / "data", f"sqlite:///{tmp_path}/gateway.db")
        with RunningGateway(settings.with_sign_in(SignInSpec((spec,)))) as gateway:
            found = httpx2.get(f"{gateway.root}/console/oidc/company/sign-out")
            assert (found.status_code, said in found.text + found.headers.get("location", "")) == (status, True)


def test_a_provider_under_another_name_is_not_believed(tmp_path: Path) -> None:
    with company(tmp_path, f"sqlite:///{tmp_path}/gateway.db", host="localhost") as found:
        answer = found.console.browser().get("/console/oidc/company")
        assert answer.status_code == 502
        assert "signs nobody in" in answer.text


def test_a_provider_that_is_away_is_said_so(tmp_path: Path) -> None:
    spec = ProviderSpec("company", "Company login", f"http://127.0.0.1:{free_port()}", "gateway")
    settings = console_settings(tmp_path / "data", f"sqlite:///{tmp_path}/gateway.db")
    with RunningGateway(settings.with_sign_in(SignInSpec((spec,)))) as gateway:
        answer = httpx2.get(f"{gateway.root}/console/oidc/company")
        assert answer.status_code == 502
        assert "Company login cannot be reached" in answer.text
        assert gateway.metric("zenmux_gateway_logins_total", method="oidc", result="failed") == 1


@pytest.mark.parametrize(
    ("headers", "size"), [({}, 1_048_577), ({"content-encoding": "gzip"}, 10), ({"content-encoding": "br"}, 10)]
)
async def test_an_answer_is_bounded_as_it_is_read(headers: dict[str, str], size: int) -> None:
    """Compressed, a small answer could become a large one."""
    stock = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(b"x" * size)))
    async with httpx2.AsyncClient(transport=BoundedTransport(stock)) as client:
        with pytest.raises(httpx2.RequestError):
            await client.get("https://id.example.com")
