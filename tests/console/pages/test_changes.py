"""The page of changes: what is listed, what differs, and that filters and pages leave nothing out."""

import csv
import io
import re

from app.admin.teams import create_team
from app.admin.users import create_user, set_user_team
from app.console.pages.changes import ROWS, differences
from app.database.changes import RecordedChange
from app.main import utc_now
from tests.console.conftest import Console


def test_what_differs_is_shown_field_by_field() -> None:
    before, after = {"a": 1, "b": "x", "c": None}, {"a": 1, "b": "y", "d": ["z"]}
    change = RecordedChange(1, utc_now(), "cli:root", "user.set", "user_1", before, after)
    assert differences(change) == [("b", "x", "y"), ("d", None, '["z"]')]
    assert differences(RecordedChange(1, utc_now(), "cli:root", "user.create", "user_1", None, None)) == []


def test_every_change_is_on_some_page(console: Console) -> None:
    create_team(console.operator, "Night")
    for number in range(ROWS + 20):
        create_user(console.operator, f"user {number}")
    set_user_team(console.operator, "user 7", "Night")
    admin = console.signed_in("vera", "admin")
    first = admin.get("/console/changes")
    assert first.status_code == 200
    (older,) = re.findall(r'href="(/console/changes\?before=\d+)"', first.text)
    pages = first.text + admin.get(older).text
    shown = re.findall(r"<ins><bdi>(user \d+)</bdi>", pages)
    assert sorted(shown) == sorted(f"user {number}" for number in range(ROWS + 20))
    file = list(csv.DictReader(io.StringIO(admin.get("/console/changes?format=csv").text)))
    assert sum(row["action"] == "user.create" for row in file) == ROWS + 21
    mine = admin.get("/console/changes", params={"target": "user 7"}).text
    assert set(re.findall(r"<code>([a-z_.]+)</code>", mine)) >= {"user.create"}
    assert "user 8" not in mine
    assert "user:vera" in admin.get("/console/changes", params={"actor": "vera"}).text
    assert "No change is like that" in admin.get("/console/changes", params={"actor": "nobody"}).text
    assert admin.get("/console/changes?before=x").status_code == 400


def test_a_lead_sees_the_changes_of_the_own_team(console: Console) -> None:
    create_team(console.operator, "Night")
    create_user(console.operator, "lena", team="Night")
    create_user(console.operator, "mia", team="Night")
    create_user(console.operator, "otto")
    page = console.signed_in("lena", "lead").get("/console/changes").text
    assert ("mia" in page, "otto" in page) == (True, False)
