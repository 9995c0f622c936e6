"""The console under attack: forged forms, planted sessions, tokens after signing out, names that are markup."""

import hmac
import re

import httpx2
import pytest
from markupsafe import escape
from sqlalchemy import Engine, event

from app.admin.access.sign_in import create_link
from app.admin.keys import WantedKey, create_key, list_keys
from app.admin.limits import Target, set_limits
from app.admin.teams import create_team
from app.admin.users import create_user, disable_user, list_users
from app.quotas.rules.limits import Scope, parse_limit
from tests.console.conftest import ADMIN_KEY, FROM_HERE, Console

NASTY = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "\u0627\u0644\u0647\u0627\u0634\u0645\u064a",
    "javascript:alert(1)",
)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
def test_a_form_from_elsewhere_changes_nothing(console: Console, headers: dict[str, str]) -> None:
    admin = console.signed_in("vera", "admin")
    refused = admin.post("/console/people/users", headers, name="forged")
    assert (refused.status_code, "nothing was done" in refused.text) == (403, True)
    assert [view.user.name for view in list_users(console.operator)] == ["vera"]
    assert console.browser().post("/console/sign-in", headers, key=ADMIN_KEY).status_code == 403


def test_a_form_of_ours_is_known_by_its_origin_where_a_browser_says_no_more(console: Console) -> None:
    admin = console.signed_in("vera", "admin")
    assert admin.post("/console/people/users", {"origin": console.gateway.root}, name="made").status_code == 303
    assert admin.post("/console/people/users", {"origin": console.gateway.root + "0"}, name="no").status_code == 403


def test_a_form_is_read_only_as_a_form(console: Console) -> None:
    admin = console.signed_in("vera", "admin")
    sent = admin.client.post("/console/people/users", json={"name": "x"}, headers=FROM_HERE)
    assert sent.status_code == 415
    long = admin.post("/console/people/users", name="x" * 70_000)
    assert long.status_code == 413
    assert [view.user.name for view in list_users(console.operator)] == ["vera"]


def test_no_get_changes_anything(console: Console) -> None:
    admin = console.signed_in("vera", "admin")
    for path in ("/console/sign-out", "/console/people/users", "/console/limits/remove", "/console/theme"):
        assert admin.get(path).status_code in (404, 405), path
    assert admin.get("/console/me/usage").status_code == 200


def test_a_planted_token_is_worth_nothing(console: Console) -> None:
    """Session fixation: the token that a browser had before it signed in is not the session's."""
    browser = console.browser()
    browser.client.cookies.set("zg_session", "A" * 43, domain="127.0.0.1")
    browser.post(console.link("vera"))
    planted = httpx2.get(f"{console.gateway.root}/console/me/usage", cookies={"zg_session": "A" * 43})
    assert planted.status_code == 303


def test_a_second_login_makes_a_second_token(console: Console) -> None:
    browser = console.signed_in("vera")
    first = browser.token
    browser.client.cookies.clear()
    browser.post(console.link("vera"))
    assert browser.token not in (None, first)


def test_a_token_is_worth_nothing_after_signing_out(console: Console) -> None:
    browser = console.signed_in("vera")
    token = browser.token
    assert token is not None
    gone = browser.post("/console/sign-out")
    assert gone.headers["location"] == "/console/sign-in?done=signed-out"
    assert browser.token is None
    replayed = httpx2.get(f"{console.gateway.root}/console/me/usage", cookies={"zg_session": token})
    assert replayed.status_code == 303


def test_somebody_elses_session_cannot_be_ended(console: Console) -> None:
    vera, otto = console.signed_in("vera"), console.signed_in("otto")
    (session,) = re.findall(r"session_[0-9a-f]+", _of_another(console, vera))
    assert otto.post("/console/me/sessions", session=session).status_code == 404
    assert vera.get("/console/me/usage").status_code == 200


def _of_another(console: Console, vera: object) -> str:
    second = console.signed_in("vera")
    return second.get("/console/me/sessions").text


def test_no_header_says_who_somebody_is(console: Console) -> None:
    headers = {
        "x-forwarded-user": "vera",
        "x-webauth-user": "vera",
        "remote-user": "vera",
        "authorization": f"Bearer {ADMIN_KEY}",
    }
    assert console.browser().get("/console/now", headers=headers).status_code == 303
    member = console.signed_in("vera")
    assert member.get("/console/now", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "next_path",
    [
        "https://evil.example/",
        "//evil.example/console",
        "/\\evil.example",
        "/console/../../evil",
        "javascript:alert(1)",
        "/console\r\nset-cookie: a=b",
        "http:/console",
        "/consolation",
        "//[",
    ],
)
def test_signing_in_leads_nowhere_else(console: Console, next_path: str) -> None:
    answer = console.browser().post("/console/sign-in", key=ADMIN_KEY, next=next_path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert "set-cookie" in answer.headers
    again = console.signed_in("vera").get("/console/sign-in", params={"next": next_path})
    assert again.headers["location"] == "/console"
    themed = console.browser().post("/console/theme", theme="dark", back=next_path)
    assert themed.headers["location"] == "/console"


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_never_markup(console: Console, name: str) -> None:
    """Wherever a name is shown: what was typed is there once, escaped and set apart from the text around it."""
    create_team(console.operator, name)
    user = create_user(console.operator, name, team=name).user
    create_key(console.operator, WantedKey(user.id, name))
    set_limits(console.operator, Target(Scope.USER, user.id), [parse_limit("images:5/day")])
    admin = console.signed_in("vera", "admin")
    own = console.browser()
    own.post(f"/console/link/{create_link(console.operator, user.id, 'admin').get_secret_value()}")
    pages = [
        *(admin.get(path) for path in ("/console/people", f"/console/people/{user.id}", "/console/limits")),
        *(own.get(path) for path in ("/console/me/keys", "/console/me/usage", "/console/now", "/console/people")),
        admin.get("/console/people", params={"q": name}),
        admin.post("/console/limits", scope="user", owner=name + "?", amount=name, unit="images", window="day"),
        admin.post("/console/people/users", name=name),
        admin.post(f"/console/people/{user.id}/keys", key_name=name, limit=name),
        own.get("/console/me/sessions"),
    ]
    assert {page.status_code for page in pages} == {200, 400}
    escaped = str(escape(name))
    for page in pages:
        assert escaped == name or name not in page.text, page.url
    assert f"<bdi>{escaped}</bdi>" in pages[0].text


def test_a_user_agent_is_never_markup(console: Console) -> None:
    browser = console.browser()
    browser.client.headers["user-agent"] = NASTY[0]
    browser.post(console.link("vera"))
    page = browser.get("/console/me/sessions").text
    assert "&lt;/script&gt;" in page
    assert NASTY[0] not in page


def test_a_token_that_nobody_has_costs_what_an_ended_one_costs_and_is_answered_alike(console: Console) -> None:
    """Nothing tells whether there is such a user, link or session: not the words, and not how often the database was
    asked. Tokens are found by their hash, so nothing is compared letter by letter either.
    """
    used, ended = console.link("vera"), console.signed_in("vera")
    console.browser().post(used)
    console.browser().post(console.link("otto"))
    barred, left = console.link("otto"), console.signed_in("otto")
    disable_user(console.operator, "otto")
    ended_token = ended.token
    ended.post("/console/sign-out")
    nobodys = "A" * 43
    asked: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "login_links" in statement or "sessions" in statement or "users" in statement:
            asked.append(statement)

    def outcome(path: str, method: str, token: str | None = None) -> tuple[int, str, list[str]]:
        asked.clear()
        cookies = {} if token is None else {"zg_session": token}
        answer = httpx2.request(method, f"{console.gateway.root}{path}", headers=FROM_HERE, cookies=cookies)
        return answer.status_code, answer.text, list(asked)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        for method in ("GET", "POST"):
            unknown = outcome(f"/console/link/{nobodys}", method)
            assert (unknown[0], len(unknown[2]) > 0) == (404, True)
            assert outcome(used, method) == outcome(barred, method) == unknown
        unknown = outcome("/console/me/usage", "GET", nobodys)
        assert (unknown[0], len(unknown[2])) == (303, 1)
        assert outcome("/console/me/usage", "GET", ended_token) == unknown
        assert outcome("/console/me/usage", "GET", left.token) == unknown
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_the_admin_key_is_compared_without_stopping_at_the_first_letter(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    digest = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return digest(one, other)

    monkeypatch.setattr("app.console.login.pages.hmac.compare_digest", compare)
    for guess in ("x", ADMIN_KEY[:-1] + "x", ADMIN_KEY + "x"):
        refused = console.browser().post("/console/sign-in", key=guess)
        assert (refused.status_code, "This is not the admin key." in refused.text) == (403, True)
        assert compared[-1] == (guess.encode(), ADMIN_KEY.encode())


def test_logins_are_throttled_by_address(console: Console) -> None:
    browser = console.browser()
    answers = [browser.post("/console/sign-in", key="wrong").status_code for _ in range(12)]
    assert answers[:10] == [403] * 10
    assert 429 in answers[10:]
    assert console.gateway.metric("zenmux_gateway_logins_total", method="admin-key", result="refused") >= 10
    assert console.gateway.metric("zenmux_gateway_logins_total", method="admin-key", result="throttled") >= 1


def test_a_key_is_shown_once_and_never_kept(console: Console) -> None:
    admin = console.signed_in("vera", "admin")
    (user,) = [view.user for view in list_users(console.operator)]
    made = admin.post(f"/console/people/{user.id}/keys", key_name="laptop")
    (text,) = set(re.findall(r"sk-zg-[A-Za-z0-9]+-[A-Za-z0-9_-]{20,}", made.text))
    assert made.headers["cache-control"] == "no-store"
    assert len(list_keys(console.operator)) == 1
    for path in (f"/console/people/{user.id}", "/console/people", "/console/me/keys"):
        assert text not in admin.get(path).text
