"""The terminal, the API and a file make the same change: the same line in the list of changes, the same refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.cli.terminal.output import Terminal
from app.database.changes import RecordedChange
from app.main import utc_now
from tests.admin_api.conftest import Admin

Door = Callable[[Admin, str, dict[str, Any]], str | None]
"""Does one act. Returns the message of its refusal."""


def by_terminal(admin: Admin, act: str, given: dict[str, Any]) -> str | None:
    settings = admin.gateway.settings
    environment = {"GATEWAY_DATA_DIR": str(settings.data_dir), "GATEWAY_DATABASE_URL": settings.database}
    words = {
        "team": ["teams", "create", given.get("name", "")],
        "user": ["users", "create", given.get("name", ""), *(["--team", given["team"]] if given.get("team") else [])],
        "move": ["users", "set-team", given.get("name", ""), given.get("team", "")],
        "limit": ["limits", "set", "--user", given.get("name", ""), given.get("limit", "")],
        "key": ["keys", "create", "--user", given.get("name", ""), "--name", given.get("key", "")],
    }[act]
    terminal = Terminal(clock=utc_now, random_bytes=admin.operator.random_bytes, actor="cli:test")
    result = CliRunner().invoke(app, words, env=environment, obj=terminal)
    return None if result.exit_code == 0 else result.stderr


def by_api(admin: Admin, act: str, given: dict[str, Any]) -> str | None:
    name = given.get("name", "")
    if act in ("team", "user", "move"):
        what = "teams" if act == "team" else "users"
        answer = admin.ask("PUT", f"/{what}/{name}", json={"team": given["team"]} if "team" in given else {})
    elif act == "limit":
        unit, _, rest = given["limit"].partition(":")
        amount, _, window = rest.partition("/")
        body = {"scope": "user", "name": name, "unit": unit, "amount": amount, "window": window}
        answer = admin.ask("PUT", "/limits", json=body)
    else:
        answer = admin.ask("POST", "/keys", json={"user": name, "name": given["key"]})
    return None if answer.is_success else str(answer.json()["error"]["message"])


def by_file(admin: Admin, act: str, given: dict[str, Any]) -> str | None:
    name = given.get("name", "")
    document: dict[str, Any] = {"version": 1}
    if act == "team":
        document["teams"] = {name: {}}
    elif act in ("user", "move"):
        document["users"] = {name: {"team": given["team"]} if "team" in given else {}}
    elif act == "limit":
        document["users"] = {name: {"limits": [given["limit"]]}}
    else:
        document["keys"] = {f"{name}/{given['key']}": {}}
    answer = admin.ask("POST", "/apply?file=one.yaml", content=json.dumps(document).encode())
    return None if answer.is_success else str(answer.json()["error"]["message"])


DOORS: dict[str, Door] = {"terminal": by_terminal, "api": by_api, "file": by_file}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)


def line(change: RecordedChange) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Without what is each door's own: who it was, and that a file manages it."""
    parts = (change.before or {}, change.after or {})
    before, after = ({name: value for name, value in part.items() if name != "managed_by"} for part in parts)
    return change.action, before, after


ACTS: list[tuple[str, dict[str, Any], str]] = [
    ("team", {"name": "design"}, "team.create"),
    ("user", {"name": "alice", "team": "a"}, "user.create"),
    ("move", {"name": "mia", "team": "b"}, "user.change"),
    ("limit", {"name": "mia", "limit": "images:5/day"}, "limit.set"),
    ("key", {"name": "mia", "key": "laptop"}, "key.create"),
]


@pytest.mark.parametrize(("act", "given", "action"), ACTS)
def test_the_same_change_leaves_the_same_line(
    admin: Admin, tmp_path: Path, act: str, given: dict[str, Any], action: str
) -> None:
    """Each door makes it for people of its own, whose ids are left out of the comparison."""
    lines = {}
    for number, (door, do) in enumerate(DOORS.items()):
        names = {name: f"{name}{number}" for name in ("a", "b", "design", "alice", "mia")}
        for team in ("a", "b"):
            assert admin.ask("PUT", f"/teams/{names[team]}", json={}).status_code == 201
        mia = admin.ask("PUT", f"/users/{names['mia']}", json={"team": names["a"]}).json()
        before = len(admin.changes())
        mine = {field: names.get(value, value) for field, value in given.items()}
        assert do(admin, act, mine) is None, door
        made = [change for change in admin.changes()[before:] if change.action == action]
        assert len(made) == 1, (door, admin.actions()[before:])
        ids = {team["id"]: team["name"] for team in admin.get("/teams").json()["data"]} | {mia["id"]: mia["name"]}
        text = json.dumps(line(made[0]))
        for id_, name in ids.items():
            text = text.replace(id_, name)
        for plain, name in names.items():
            text = text.replace(f'"{name}"', f'"{plain}"')
        lines[door] = json.loads(text)
    assert lines["terminal"] == lines["api"] == lines["file"]


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("team", {"name": "a" * 81}, "81 characters; 80 are the most"),
    ("user", {"name": "bob", "team": "nowhere"}, "no team"),
    ("limit", {"name": "mia", "limit": "images:many/day"}, "'many' is no whole number"),
    ("key", {"name": "mia", "key": "k" * 81}, "81 characters; 80 are the most"),
]


@pytest.mark.parametrize(("act", "given", "message"), FAULTS)
@pytest.mark.parametrize("door", DOORS)
def test_the_same_fault_has_the_same_words_and_changes_nothing(
    admin: Admin, door: str, act: str, given: dict[str, Any], message: str
) -> None:
    assert admin.ask("PUT", "/users/mia", json={}).status_code == 201
    before = admin.actions()
    refused = DOORS[door](admin, act, given)
    assert refused is not None
    assert message in " ".join(refused.split())
    assert admin.actions() == before


def test_a_file_says_how_its_models_differ_from_those_in_use_and_knows_them_itself(admin: Admin) -> None:
    """Apply does not change what the gateway uses."""
    text = (
        'version: 1\ncatalog: {models: {house: {like: gpt-image-2, id: openai/house, hold_usd: "0.5"}}}\n'
        "users: {alice: {}}\nkeys: {alice/laptop: {models: [house]}}\n"
    )
    for changes in (2, 0):
        answer = admin.ask("POST", "/apply?file=one.yaml", content=text.encode()).json()
        assert len(answer["changes"]) == changes
        assert answer["models"] == ["+ model house: unknown: $0.50 is held and charged for an image"]
    assert admin.ask("POST", "/apply?file=one.yaml", content=b"version: 1\nusers: {alice: {}}\n").json()["models"] == []
    assert "house" not in {each["name"] for each in admin.get("/catalog").json()["data"]}
    broken = admin.ask("POST", "/apply?file=one.yaml", content=text.replace("like", "lyke").encode())
    assert broken.status_code == 400
    assert broken.json()["error"]["message"].startswith("one.yaml, line 2: catalog.models.house.lyke: unknown key")
