"""Teams and users over HTTP: made, changed, listed page by page and as CSV, on both engines."""

import csv
import io

import pytest

from app.identity.people.roles import Role
from tests.admin_api.conftest import Admin


def test_a_put_makes_once_and_changes_nothing_again(admin: Admin) -> None:
    made, again = admin.ask("PUT", "/teams/design", json={}), admin.ask("PUT", "/teams/design", json={})
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json() == admin.get("/teams/design").json()
    assert made.headers["etag"] == again.headers["etag"] == admin.get("/teams/design").headers["etag"]
    assert admin.actions() == ["team.create"]
    user = admin.ask("PUT", "/users/alice", json={"team": "design", "role": "lead"})
    assert (user.status_code, user.json()["team"], user.json()["role"]) == (201, "design", "lead")
    assert admin.ask("PUT", "/users/alice", json={"team": "design"}).json() == user.json()
    assert admin.actions() == ["team.create", "user.create"]
    moved = admin.ask("PUT", "/users/alice", json={"team": None, "disabled": True}).json()
    assert (moved["team"], moved["role"], moved["state"]) == (None, "lead", "disabled")
    assert admin.actions() == ["team.create", "user.create", "user.change"]
    assert admin.ask("DELETE", "/users/alice").json() == moved


def test_a_change_may_expect_what_is_there(admin: Admin) -> None:
    first = admin.ask("PUT", "/users/alice", json={}, headers={"if-none-match": "*"})
    assert first.status_code == 201
    again = admin.ask("PUT", "/users/alice", json={}, headers={"if-none-match": "*"})
    assert (again.status_code, again.json()["error"]["code"]) == (412, "changed_meanwhile")
    etag = {"if-match": first.headers["etag"]}
    changed = admin.ask("PUT", "/users/alice", json={"role": "auditor"}, headers=etag)
    assert changed.status_code == 200
    for method, more in (("PUT", {"json": {"role": "admin"}}), ("DELETE", {})):
        refused = admin.ask(method, "/users/alice", headers=etag, **more)
        assert refused.status_code == 412, refused.text
    assert admin.get("/users/alice").json() == changed.json()
    assert admin.ask("PUT", "/users/bob", json={}, headers={"if-match": "*"}).status_code == 412
    assert admin.ask("DELETE", "/users/alice", headers={"if-match": changed.headers["etag"]}).status_code == 200


def test_a_dry_run_tells_and_changes_nothing(admin: Admin) -> None:
    shown = admin.ask("PUT", "/users/alice?dry_run=true", json={"role": "lead"}).json()
    assert shown["object"] == "dry_run"
    (change,) = shown["changes"]
    assert (change["action"], change["actor"], change["after"]["role"]) == ("user.create", "admin-key", "lead")
    assert admin.get("/users/alice").status_code == 404
    assert admin.actions() == []


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        ("/users/alice", {"teem": "a"}, "teem", "unknown_parameter"),
        ("/users/alice", {"role": "king"}, "role", "invalid_value"),
        ("/users/alice", {"disabled": "perhaps"}, "disabled", "invalid_value"),
        ("/users/alice?dry_rum=true", {}, "dry_rum", "unknown_parameter"),
        ("/users/%20", {}, None, "invalid_value"),
        ("/teams/design", {"users": []}, "users", "unknown_parameter"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    admin: Admin, path: str, body: dict[str, object], param: str | None, code: str
) -> None:
    refused = admin.ask("PUT", path, json=body)
    assert refused.status_code == 400, refused.text
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == (param, code)
    assert admin.actions() == []


def test_bodies_are_read_strictly(admin: Admin) -> None:
    for content, status, code in (
        (b'{"role": "lead", "role": "admin"}', 400, "duplicate_parameter"),
        (b"[]", 400, "invalid_json"),
        (b'{"team": "' + b"a" * 1_000_001 + b'"}', 413, "request_too_large"),
    ):
        refused = admin.ask("PUT", "/users/alice", content=content, headers={"content-type": "application/json"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert admin.ask("PUT", "/users/alice", content=b"{}").status_code == 415


def test_lists_come_page_by_page_and_as_csv(admin: Admin) -> None:
    for name in ("carol", "alice", "=bob"):
        assert admin.ask("PUT", f"/users/{name}", json={}).status_code == 201
    first = admin.get("/users?limit=2").json()
    assert [user["name"] for user in first["data"]] == ["=bob", "alice"]
    assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, first["data"][1]["id"])
    rest = admin.get(f"/users?limit=2&after={first['last_id']}").json()
    assert ([user["name"] for user in rest["data"]], rest["has_more"]) == (["carol"], False)
    assert admin.get("/users?after=nobody").json()["error"]["param"] == "after"
    assert admin.get("/users?limit=0").json()["error"]["param"] == "limit"
    assert admin.get("/teams").json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
    table = admin.get("/users?limit=2", headers={"accept": "text/csv"})
    assert table.headers["x-has-more"] == "true"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["name"] for row in rows] == ["'=bob", "alice"]
    assert list(rows[0])[:3] == ["id", "name", "team"]


def test_nobody_sees_or_changes_more_than_the_role_reaches(everybody: dict[Role, Admin]) -> None:
    def names(role: Role, what: str) -> list[str]:
        return [each["name"] for each in everybody[role].get(f"/{what}").json()["data"]]

    everyone = ["ada", "aud", "lena", "mia", "otto"]
    assert names(Role.ADMIN, "users") == names(Role.AUDITOR, "users") == everyone
    assert (names(Role.LEAD, "users"), names(Role.MEMBER, "users")) == (["lena", "mia"], ["mia"])
    assert names(Role.ADMIN, "teams") == names(Role.AUDITOR, "teams") == ["a", "b"]
    assert (names(Role.LEAD, "teams"), names(Role.MEMBER, "teams")) == (["a"], [])
    for role, hidden in ((Role.LEAD, "/users/otto"), (Role.LEAD, "/teams/b"), (Role.MEMBER, "/users/lena")):
        answer = everybody[role].get(hidden)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert "Did you mean" not in answer.text
    for role in (Role.AUDITOR, Role.LEAD, Role.MEMBER):
        for method, path, more in (
            ("PUT", "/users/mia", {"json": {"role": "admin"}}),
            ("PUT", "/teams/c", {"json": {}}),
            ("DELETE", "/users/mia", {}),
        ):
            refused = everybody[role].ask(method, path, **more)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_permitted")
