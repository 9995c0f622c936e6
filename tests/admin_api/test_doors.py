"""The terminal, the API and a file make the same change: the same line in the list of changes, the same refusals."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.cli.terminal.output import Terminal
from app.database.changes import RecordedChange
from app.main import utc_now
from tests.admin_api.conftest import Admin

Given = dict[str, str]
Door = Callable[[Admin, str, Given], str | None]
"""Does one act. Returns the message of its refusal."""

UNTIL = "2190-01-01T00:00:00Z"


def by_terminal(admin: Admin, act: str, given: Given) -> str | None:
    name, owner = given.get("name", ""), ["--user", given.get("name", "")]
    words = {
        "team": ["teams", "create", name],
        "user": ["users", "create", name, *(["--team", given["team"]] if given.get("team") else [])],
        "move": ["users", "set-team", name, given.get("team", "")],
        "disable": ["users", "disable", name, "--yes"],
        "limit": ["limits", "set", *owner, given.get("limit", "")],
        "raise": ["limits", "set", *owner, given.get("limit", ""), "--until", UNTIL],
        "unlimit": ["limits", "remove", *owner, given.get("limit", ""), "--yes"],
        "key": ["keys", "create", *owner, "--name", given.get("key", "")],
        "rotate": ["keys", "rotate", key_id(admin, given), "--yes"],
        "disable key": ["keys", "disable", key_id(admin, given), "--yes"],
    }[act]
    return run(admin, words)


def run(admin: Admin, words: list[str]) -> str | None:
    settings = admin.gateway.settings
    environment = {"GATEWAY_DATA_DIR": str(settings.data_dir), "GATEWAY_DATABASE_URL": settings.database}
    terminal = Terminal(clock=utc_now, random_bytes=admin.operator.random_bytes, actor="cli:test")
    result = CliRunner().invoke(app, words, env=environment, obj=terminal)
    return None if result.exit_code == 0 else result.stderr


def by_api(admin: Admin, act: str, given: Given) -> str | None:
    name, key = given.get("name", ""), key_id(admin, given)
    unit, _, rest = given.get("limit", "").partition(":")
    amount, _, window = rest.partition("/")
    limit = {"scope": "user", "name": name, "unit": unit, "amount": amount, "window": window}
    user = {field: given[field] for field in ("team", "role") if field in given}
    method, path, body = {
        "team": ("PUT", f"/teams/{name}", {}),
        **dict.fromkeys(("user", "move", "role"), ("PUT", f"/users/{name}", user)),
        "disable": ("DELETE", f"/users/{name}", None),
        "limit": ("PUT", "/limits", limit),
        "raise": ("PUT", "/limits", limit | {"amount": "5", "raised_to": amount, "raised_until": UNTIL}),
        "unlimit": ("DELETE", f"/limits/{limit_id(admin, name, unit)}", None),
        "key": ("POST", "/keys", {"user": name, "name": given.get("key")}),
        "rotate": ("POST", f"/keys/{key}/rotate", {}),
        "disable key": ("DELETE", f"/keys/{key}", None),
    }[act]
    answer = admin.ask(method, path, **({} if body is None else {"json": body}))
    return None if answer.is_success else str(answer.json()["error"]["message"])


def document_of(act: str, given: Given) -> bytes:
    name = given.get("name", "")
    document: dict[str, Any] = {"version": 1}
    if act == "team":
        document["teams"] = {name: {}}
    elif act in ("user", "move", "role"):
        document["users"] = {name: {field: given[field] for field in ("team", "role") if field in given}}
    elif act in ("limit", "unlimit"):
        document["users"] = {name: {"limits": [given["limit"]] if act == "limit" else []}}
    else:
        document["keys"] = {f"{name}/{given['key']}": {"disabled": True} if act == "disable key" else {}}
    return json.dumps(document).encode()


def by_file(admin: Admin, act: str, given: Given) -> str | None:
    prune = str(act == "unlimit").lower()
    answer = admin.ask("POST", f"/apply?file=one.yaml&prune={prune}", content=document_of(act, given))
    return None if answer.is_success else str(answer.json()["error"]["message"])


def by_apply(admin: Admin, act: str, given: Given) -> str | None:
    path = admin.gateway.settings.data_dir.parent / "two.yaml"
    path.write_bytes(document_of(act, given))
    return run(admin, ["apply", "--file", str(path), *(["--prune"] if act == "unlimit" else [])])


def key_id(admin: Admin, given: Given) -> str:
    """The id of the key `phone` that the user has already."""
    found = admin.get(f"/keys?user={given['name']}") if given.get("key") == "phone" else None
    return "" if found is None else str(found.json()["data"][0]["id"])


def limit_id(admin: Admin, name: str, unit: str) -> str:
    found = admin.get(f"/limits?scope=user&name={name}").json()["data"]
    return "".join(each["id"] for each in found if each["unit"] == unit)


DOORS: dict[str, Door] = {"terminal": by_terminal, "api": by_api, "file": by_file, "apply": by_apply}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)


def line(change: RecordedChange) -> str:
    """Without what is each door's own: that a file manages it, and the moment."""
    parts = (change.before or {}, change.after or {})
    before, after = ({name: value for name, value in part.items() if name != "managed_by"} for part in parts)
    text = json.dumps([change.action, before, after])
    return re.sub(rf"{utc_now():%Y}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "now", text)


BY_HAND = ("terminal", "api")  # a file says how things are, and not what is to be done once

ACTS: list[tuple[str, Given, str, tuple[str, ...]]] = [
    ("team", {"name": "design"}, "team.create", tuple(DOORS)),
    ("user", {"name": "alice", "team": "a"}, "user.create", tuple(DOORS)),
    ("move", {"name": "mia", "team": "b"}, "user.change", tuple(DOORS)),
    ("role", {"name": "mia", "role": "lead"}, "user.change", ("api", "file", "apply")),
    ("disable", {"name": "mia"}, "user.change", BY_HAND),
    ("limit", {"name": "mia", "limit": "usd:5/day"}, "limit.set", tuple(DOORS)),
    ("raise", {"name": "mia", "limit": "images:9/day"}, "limit.set", BY_HAND),
    ("unlimit", {"name": "mia", "limit": "usd:5/day"}, "limit.remove", tuple(DOORS)),
    ("key", {"name": "mia", "key": "laptop"}, "key.create", tuple(DOORS)),
    ("rotate", {"name": "mia", "key": "phone"}, "key.rotate", BY_HAND),
    ("disable key", {"name": "mia", "key": "phone"}, "key.change", tuple(DOORS)),
]


@pytest.mark.parametrize(("act", "given", "action", "doors"), ACTS)
def test_the_same_change_leaves_the_same_line(
    admin: Admin, act: str, given: Given, action: str, doors: tuple[str, ...]
) -> None:
    """Each door makes it for people of its own, whose ids are left out of the comparison."""
    lines = {}
    for number, door in enumerate(doors):
        names = {name: f"{name}{number}" for name in ("a", "b", "design", "alice", "mia")}
        for team in ("a", "b"):
            assert admin.ask("PUT", f"/teams/{names[team]}", json={}).status_code == 201
        mia = admin.ask("PUT", f"/users/{names['mia']}", json={"team": names["a"]}).json()
        phone = admin.ask("POST", "/keys", json={"user": names["mia"], "name": "phone"}).json()
        limit = {"scope": "user", "name": names["mia"], "unit": "images", "amount": 5, "window": "day"}
        assert admin.ask("PUT", "/limits", json=limit).status_code == 201
        mine = {field: names.get(value, value) for field, value in given.items()}
        if act == "unlimit":  # a file removes what it has made
            assert DOORS[door](admin, "limit", mine) is None, door
        before = len(admin.changes())
        assert DOORS[door](admin, act, mine) is None, door
        made = [change for change in admin.changes()[before:] if change.action == action]
        assert len(made) == 1, (door, admin.actions()[before:])
        ids = {team["id"]: team["name"] for team in admin.get("/teams").json()["data"]} | {mia["id"]: mia["name"]}
        text = line(made[0]).replace(phone["id"], "phone")
        for id_, name in ids.items():
            text = text.replace(id_, name)
        for plain, name in names.items():
            text = text.replace(f'"{name}"', f'"{plain}"')
        lines[door] = json.loads(text)
    assert list(lines.values()) == [lines["api"]] * len(doors)


MANY, NONE = "has 81 characters; 80 are the most", "There is no team 'nowhere'. `teams list` shows those that are."
NO_NUMBER = "limit 'images:many/day': 'many' is no whole number"

# The message; in a file also where it is, in the file's own words, because there a name may be one of the file.
FAULTS: list[tuple[str, Given, str, str | None]] = [
    ("team", {"name": "a" * 81}, f"The name of the team {MANY}.", f"teams.{'a' * 81}: the name {MANY}"),
    ("user", {"name": "bob", "team": "nowhere"}, NONE, "users.bob.team: there is no team nowhere; add it under teams."),
    ("move", {"name": "mia", "team": "nowhere"}, NONE, "users.mia.team: there is no team nowhere; add it under teams."),
    ("limit", {"name": "mia", "limit": "images:many/day"}, NO_NUMBER, f"users.mia.limits[0]: {NO_NUMBER}"),
    ("key", {"name": "mia", "key": "k" * 81}, f"The name of the key {MANY}.", f"keys.mia/{'k' * 81}: the name {MANY}"),
    ("disable", {"name": "nobody"}, "There is no user 'nobody'. `users list` shows those that are.", None),
    ("raise", {"name": "mia", "limit": "images:5/day"}, "A raise of images:5/day must be to more than that.", None),
]


@pytest.mark.parametrize(("act", "given", "message", "in_file"), FAULTS)
def test_the_same_fault_has_the_same_words_and_changes_nothing(
    admin: Admin, act: str, given: Given, message: str, in_file: str | None
) -> None:
    assert admin.ask("PUT", "/users/mia", json={}).status_code == 201
    limit = {"scope": "user", "name": "mia", "unit": "images", "amount": 5, "window": "day"}
    assert admin.ask("PUT", "/limits", json=limit).status_code == 201
    before = admin.actions()
    assert by_api(admin, act, given) == message
    assert by_terminal(admin, act, given) == f"Error: {message}\n"
    if in_file is not None:
        assert by_file(admin, act, given) == f"one.yaml, line 1: {in_file}"
        path = admin.gateway.settings.data_dir.parent / "two.yaml"
        assert by_apply(admin, act, given) == f"Error: {path}, line 1: {in_file}\n"
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
