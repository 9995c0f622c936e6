"""Who may see and do what: every page and form for every role, and for nobody."""

import pytest

from app.admin.access.permissions import PERMISSIONS, Reach
from app.admin.teams import create_team
from app.admin.users import create_user, disable_user
from app.console.door import CALLS, PAGES
from app.identity.people.roles import Role
from tests.console.conftest import Console


def filled(path: str) -> str:
    return path.replace("{name}", "nobody").replace("{id}", "nothing").replace("{key}", "nothing")


def test_nobody_gets_a_page_without_signing_in(console: Console) -> None:
    browser = console.browser()
    for method, path, _, _ in PAGES:
        answer = browser.get(filled(path)) if method == "GET" else browser.post(filled(path))
        if method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole"), path
        else:
            assert answer.status_code == 401, path
            assert "nothing was done" in answer.text, path
    for method, path, _ in CALLS:
        answer = browser.get(filled(path)) if method == "GET" else browser.post(filled(path))
        assert answer.status_code == 401, path


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_what_the_table_says(console: Console, role: Role) -> None:
    create_team(console.operator, "Night")
    create_user(console.operator, "vera", team="Night")
    browser = console.signed_in("vera", role)
    for method, path, _, action in PAGES:
        if path == "/console/sign-out":
            continue
        answer = browser.get(filled(path)) if method == "GET" else browser.post(filled(path))
        is_open = action is None or PERMISSIONS[action][role] in (Reach.ALL, Reach.TEAM)
        assert (answer.status_code == 403) is not is_open, f"{method} {path} is {answer.status_code} for {role}"


@pytest.mark.parametrize("role", list(Role))
def test_the_links_lead_to_pages_that_are_open_to_the_role(console: Console, role: Role) -> None:
    create_team(console.operator, "Night")
    create_user(console.operator, "vera", team="Night")
    browser = console.signed_in("vera", role)
    home = browser.get("/console")
    page = browser.get(home.headers["location"])
    paths = {each.split('"')[0] for each in page.text.split('<a href="')[1:]}
    assert {"/console/me/keys", "/console/me/usage", "/console/me/sessions"} <= paths
    assert ("/console/now" in paths) is (role in (Role.ADMIN, Role.AUDITOR))
    for path in paths:
        assert browser.get(path, follow_redirects=True).status_code == 200, path


def test_a_disabled_user_is_signed_out_at_once(console: Console) -> None:
    browser = console.signed_in("vera")
    assert browser.get("/console/me/usage").status_code == 200
    disable_user(console.operator, "vera")
    assert browser.get("/console/me/usage").status_code == 303


def test_the_console_is_not_there_where_nobody_can_sign_in(console: Console) -> None:
    settings = console.gateway.settings
    assert settings.has_console
    assert not settings.model_copy(update={"admin_key": None}).has_console
    assert not settings.model_copy(update={"console_admin_key_login": False}).has_console
    assert not settings.model_copy(update={"console": False}).has_console
    assert settings.model_copy(update={"admin_key": None, "console": True}).has_console


def test_the_root_sends_browsers_on_and_answers_programs_as_ever(console: Console) -> None:
    sent = console.browser().get("/")
    assert (sent.status_code, sent.headers["location"]) == (303, "/console")
    refused = console.browser().get("/", headers={"accept": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_url")
    for path in ("/consolation", "/console/nothing"):
        assert console.browser().get(path, headers={"accept": "application/json"}).status_code in (303, 404)
