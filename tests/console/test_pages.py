"""Every page on a week of plausible use, read as HTML; each form once, and what it did."""

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.admin.keys import WantedKey, create_key, list_keys
from app.admin.limits import Target, list_limits, set_limits
from app.admin.operator import Operator
from app.admin.reads.glance import Glance, glance
from app.admin.teams import list_teams
from app.admin.users import list_users, show_user
from app.console.web.headers import PAGE_HEADERS
from app.quotas.rules.limits import Scope, format_limit, parse_limit
from tests.console.conftest import Browser, Console, open_console
from tests.console.week import TEAMS, lay_week

OPERATORS = (
    *("/console/now", "/console/requests", "/console/reservations", "/console/usage", "/console/limits"),
    *("/console/people", "/console/accounts", "/console/changes", "/console/system"),
)
MEMBERS = (
    "/console/me/playground",
    "/console/me/gallery",
    "/console/me/keys",
    "/console/me/usage",
    "/console/me/sessions",
)
_VOID = frozenset({"meta", "link", "img", "input", "br", "use", "rect", "line"})


class _Balance(HTMLParser):
    """Fails on an element that is not closed, or closed in the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base class gives it
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


@pytest.fixture
def week(tmp_path: Path, store_url: str) -> Iterator[Console]:
    lay_week(store_url)
    with open_console(tmp_path / "data", store_url) as console:
        yield console


@pytest.fixture
def admin(week: Console) -> Browser:
    return week.signed_in("vera", "admin")


def test_every_page_is_whole_and_carries_the_policy(week: Console, admin: Browser) -> None:
    user = list_users(week.operator)[0].user
    more = (f"/console/people/{user.id}", "/console/nothing", "/console/usage?by=size&span=today")
    for path in (*OPERATORS, *MEMBERS, *more):
        page = admin.get(path)
        assert page.status_code == (404 if path.endswith("nothing") else 200), (path, page.text[:500])
        for name, value in PAGE_HEADERS.items():
            assert page.headers[name] == value, path
        balance = _Balance()
        balance.feed(page.text)
        assert balance.open == [], path
        assert len(re.findall("<h1", page.text)) == 1, path
    assert "default-src 'none'" in PAGE_HEADERS["content-security-policy"]


def test_now_says_what_runs_and_who_is_near_a_limit(admin: Browser) -> None:
    page = admin.get("/console/now").text
    assert "Nearest to a limit" in page
    assert "Spent today" in page
    part = admin.get("/console/now", headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert "Held now" in part


@pytest.fixture
def _kept_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What open pages of Now share is kept for longer than any test. Ask for it before the console."""
    monkeypatch.setattr("app.console.web.site.NOW_SECONDS", 3600.0)


@pytest.mark.usefixtures("_kept_long")
def test_open_pages_of_now_share_a_read_and_a_page_that_is_opened_reads_anew(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = []

    def counted(operator: Operator) -> Glance:
        began.append(operator)
        return glance(operator)

    monkeypatch.setattr("app.console.pages.now.glance", counted)
    browsers = [console.signed_in(name, "admin") for name in ("vera", "wim")]
    for browser in browsers * 2:
        assert "Held now" in browser.get("/console/now", headers={"hx-request": "true"}).text
    assert len(began) == 1
    assert "Held now" in browsers[0].get("/console/now").text
    assert len(began) == 2


def test_usage_agrees_with_its_csv_file(admin: Browser) -> None:
    for by in ("user", "team", "key", "model", "day", "size", "quality", "operation", "outcome", "account"):
        page = admin.get("/console/usage", params={"by": by, "span": "30d"})
        file = admin.get("/console/usage", params={"by": by, "span": "30d", "format": "csv"})
        rows = list(csv.DictReader(io.StringIO(file.text)))
        assert rows, by
        assert file.headers["content-disposition"] == f'attachment; filename="usage-by-{by}.csv"'
        total = sum(int(row["nanousd"]) for row in rows)
        (shown,) = re.findall(r"<dt>Cost</dt><dd>\$([\d,.]+)</dd>", page.text)
        assert abs(total / 10**9 - float(shown.replace(",", ""))) < 0.01, by
    assert admin.get("/console/usage?by=shoe").status_code == 400
    assert admin.get("/console/usage?span=ever").status_code == 400


def test_the_heat_table_has_a_mean_of_every_size_and_quality(admin: Browser) -> None:
    page = admin.get("/console/usage?span=30d").text
    heat = page.split('class="heat"')[1].split("</table>")[0]
    assert re.findall(r'<th scope="col" class="num">(\w+)</th>', heat) == ["low", "medium", "high"]
    assert heat.count("<tr>") == 1 + 6
    assert "step-5" in heat


def test_requests_are_listed_filtered_and_shown_in_full(week: Console, admin: Browser) -> None:
    """Every row of the ledger is there once, page by page, and each has a page of its own."""
    rows = week.gateway.store.rows()
    file = list(csv.DictReader(io.StringIO(admin.get("/console/requests?format=csv").text)))
    assert {row["id"] for row in file} == {row["id"] for row in rows}
    assert sum(float(row["charged_usd"] or 0) for row in file) == pytest.approx(
        sum(row["charged_nanousd"] or 0 for row in rows) / 10**9
    )
    seen: list[str] = []
    path: str | None = "/console/requests?state=settled"
    while path:
        page = admin.get(path).text
        seen += re.findall(r'<a href="/console/requests/(req_\w+)">', page)
        older = re.search(r'href="(/console/requests\?[^"]*after=[^"]*)"', page)
        path = older[1].replace("&amp;", "&") if older else None
    assert sorted(seen) == sorted(row["id"] for row in rows if row["state"] == "settled")
    user = rows[0]["user_id"]
    mine = list(csv.DictReader(io.StringIO(admin.get(f"/console/requests?format=csv&user_id={user}").text)))
    assert len(mine) == sum(row["user_id"] == user for row in rows)
    one = admin.get(f"/console/requests/{seen[0]}")
    assert (one.status_code, seen[0] in one.text, "Held, the worst case" in one.text) == (200, True, True)
    assert admin.get("/console/requests/req_nothing").status_code == 404
    assert admin.get("/console/requests?state=lost").status_code == 400
    assert admin.get("/console/requests?after=nothing").status_code == 400


def test_people_are_found_made_moved_and_disabled(week: Console, admin: Browser) -> None:
    found = admin.get("/console/people", params={"q": "LUCÍA"}).text
    assert ("Lucía Ferrer" in found, "Tom Okafor" in found.split("Teams</h2>")[0]) == (True, False)
    made = admin.post("/console/people/users", name="neu", team=list_teams(week.operator)[0].team.id)
    assert (made.status_code, made.headers["location"].endswith("?done=user-made")) == (303, True)
    path = made.headers["location"].partition("?")[0]
    assert "The user is made" in admin.get(made.headers["location"]).text
    assert show_user(week.operator, "neu").user.team_name == sorted(TEAMS)[0]
    assert admin.post(path, do="team", team="").status_code == 303
    assert show_user(week.operator, "neu").user.team_name is None
    for do, state in (("disable", "disabled"), ("enable", "active")):
        assert admin.post(path, do=do).status_code == 303
        assert show_user(week.operator, "neu").state == state
    again = admin.post("/console/people/users", name="neu")
    assert (again.status_code, "There is a user neu already." in again.text) == (400, True)
    assert 'value="neu"' in again.text
    assert admin.post(path, do="dance").status_code == 400
    assert admin.post("/console/people/teams", team_name="Night").headers["location"].endswith("done=team-made")
    assert admin.post("/console/people/teams", team_name="Night").status_code == 400


def test_a_key_is_made_used_rotated_and_disabled(week: Console, admin: Browser) -> None:
    user = list_users(week.operator)[0].user
    path = f"/console/people/{user.id}"
    page = admin.post(f"{path}/keys", key_name="new", model="gpt-image-2", expires="30d", limit="images:3/day")
    assert page.status_code == 200
    (text,) = set(re.findall(r"sk-zg-[A-Za-z0-9]+-[A-Za-z0-9_-]{20,}", page.text))
    for snippet in ("snippet-curl", "snippet-python", "snippet-javascript", "snippet-environment"):
        assert text in page.text.split(f'id="{snippet}"')[1].split("</code>")[0]
    (key,) = [view.key for view in list_keys(week.operator, user.id) if view.key.name == "new"]
    assert (key.models, key.expires_at is not None) == (("openai/gpt-image-2",), True)
    rotated = admin.post(f"{path}/keys/{key.id}", do="rotate", overlap="1h")
    (second,) = set(re.findall(r"sk-zg-[A-Za-z0-9]+-[A-Za-z0-9_-]{20,}", rotated.text))
    assert second != text
    assert admin.post(f"{path}/keys/{key.id}", do="disable").headers["location"].endswith("done=key-disabled")
    assert admin.post(f"{path}/keys/{key.id}", do="enable").headers["location"].endswith("done=key-enabled")
    assert admin.post(f"{path}/keys", limit="images:3").status_code == 400
    assert admin.post(f"{path}/keys/unknown", do="disable").status_code == 400


def test_limits_are_set_and_removed(week: Console, admin: Browser) -> None:
    def written() -> set[str]:
        return {format_limit(view.limit) for view in list_limits(week.operator) if view.name == "newsletter-bot"}

    form = {"scope": "user", "owner": "newsletter-bot", "unit": "images"}
    assert admin.post("/console/limits", amount="7", window="hour", **form).headers["location"].endswith("limit-set")
    assert "images:7/hour" in written()
    owner = next(view.limit.scope_id for view in list_limits(week.operator) if view.name == "newsletter-bot")
    gone = admin.post("/console/limits/remove", scope="user", owner=owner, limit="images:7/hour")
    assert gone.headers["location"].endswith("limit-removed")
    assert "images:7/hour" not in written()
    raised = admin.post("/console/limits", amount="90", window="day", until="24h", **form)
    assert raised.status_code == 400  # there is no such limit yet
    assert admin.post("/console/limits", amount="8", window="day", **form).status_code == 303
    raised = admin.post("/console/limits", amount="90", window="day", until="24h", **form)
    assert raised.headers["location"].endswith("limit-raised")
    assert "(raised to 90 images until " in admin.get("/console/limits").text
    assert "images:8/day" in written()
    for wrong in (
        {**form, "amount": "1", "window": "day", "until": "ever"},
        {"scope": "shoe"},
        {"scope": "user", "owner": ""},
        {**form, "amount": "many", "window": "day"},
    ):
        refused = admin.post("/console/limits", **wrong)
        assert (refused.status_code, 'role="alert"' in refused.text) == (400, True)
    file = admin.get("/console/limits?format=csv")
    assert "user,newsletter-bot,usd:5.00/day,False" in file.text


def test_a_request_is_explained_for_a_user_and_for_a_key(week: Console, admin: Browser) -> None:
    key = create_key(week.operator, WantedKey("new here")).key.key
    page = admin.get("/console/limits/explain", params={"owner": "new here", "quality": "low", "n": "2"}).text
    assert ("Every limit lets it pass now." in page, "<code>images:200/day</code>" in page) == (True, True)
    set_limits(week.operator, Target(Scope.KEY, key.id), [parse_limit("images:1/day")])
    asked = {"whose": "key", "owner": key.id, "quality": "low", "n": "2"}
    page = admin.get("/console/limits/explain", params=asked).text
    assert ('<span class="badge bad">no' in page, "images:1/day" in page) == (True, True)
    for wrong in ({"owner": "nobody"}, {"owner": key.id, "whose": "key", "n": "many"}, {**asked, "size": "7x7"}):
        refused = admin.get("/console/limits/explain", params=wrong)
        assert (refused.status_code, 'role="alert"' in refused.text) == (400, True)
    lead = week.signed_in("lena", "lead")  # of no team: limits of others are not hers
    assert lead.get("/console/limits/explain", params={"owner": "newsletter-bot"}).status_code == 403


def test_a_role_is_given(week: Console, admin: Browser) -> None:
    user = show_user(week.operator, "newsletter-bot").user
    path = f"/console/people/{user.id}"
    assert admin.post(path, do="role", role="auditor").headers["location"].endswith("done=role-set")
    assert show_user(week.operator, "newsletter-bot").user.role == "auditor"
    assert '<option value="auditor" selected>' in admin.get(path).text
    assert admin.post(path, do="role", role="king").status_code == 400
    assert admin.post("/console/people/nobody", do="role", role="admin").status_code == 404


def test_members_see_their_own_things(week: Console) -> None:
    member = week.signed_in("Mara Lindqvist")
    assert "usd:5.00/day" in member.get("/console/me/usage").text
    keys = list_keys(week.operator, "Mara Lindqvist")
    page = member.get("/console/me/keys").text
    assert keys[0].key.id in page
    assert not [
        view.key.id
        for view in list_keys(week.operator)
        if view.key.id in page and view.key not in [mine.key for mine in keys]
    ]


def test_a_session_is_ended_from_another_one(week: Console) -> None:
    first, second = week.signed_in("vera"), week.signed_in("vera")
    page = second.get("/console/me/sessions").text
    (session,) = re.findall(r'value="(session_[0-9a-f]+)"', page)
    assert "this one" in page
    assert second.post("/console/me/sessions", session=session).headers["location"].endswith("done=session-ended")
    assert first.get("/console/me/usage").status_code == 303
    assert second.get("/console/me/usage").status_code == 200
