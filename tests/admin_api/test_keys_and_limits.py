"""Keys and limits over HTTP: the text once, the role's reach, leads below their team, at once in this process."""

from datetime import timedelta
from typing import Any

import pytest

from app.admin.limits import Target, set_limits
from app.identity.people.roles import Role
from app.main import utc_now
from app.quotas.rules.limits import Scope, parse_limit
from tests.admin_api.conftest import Admin


def limit(scope: str, name: str | None, unit: str, amount: float | str, **more: Any) -> dict[str, Any]:
    return {"scope": scope, "name": name, "unit": unit, "window": "day", "amount": amount, **more}


def test_a_key_is_made_changed_rotated_and_disabled(admin: Admin) -> None:
    body = {"user": "alice", "name": "laptop", "models": ["gpt-image-2"], "limits": ["images:5/day"], "role": None}
    made = admin.ask("POST", "/keys", json=body)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    text, key_id = made.json()["key"], made.json()["id"]
    shown = admin.get(f"/keys/{key_id}")
    assert {"key": text, **shown.json()} == made.json()
    assert made.headers["etag"] == shown.headers["etag"]
    assert (shown.json()["models"], shown.json()["limits"]) == (["openai/gpt-image-2"], ["images:5/day"])
    assert admin.as_(text).get("/status").json()["you"]["role"] == "member"
    until = (utc_now() + timedelta(days=1)).replace(microsecond=0)
    changed = admin.ask("PUT", f"/keys/{key_id}", json={"models": None, "expires_at": until.isoformat()}).json()
    assert (changed["models"], changed["expires_at"], changed["name"]) == (
        None,
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "laptop",
    )
    rotated = admin.ask("POST", f"/keys/{key_id}/rotate", json={"overlap_seconds": 0}).json()
    assert admin.as_(rotated["key"]).get("/status").status_code == 200
    assert admin.as_(text).get("/status").status_code == 401
    assert admin.ask("DELETE", f"/keys/{key_id}").json()["disabled_at"] is not None
    assert admin.as_(rotated["key"]).get("/status").status_code == 401
    assert admin.ask("PUT", f"/keys/{key_id}", json={"disabled": False}).json()["disabled_at"] is None
    assert admin.as_(rotated["key"]).get("/status").status_code == 200
    assert admin.actions() == [
        "user.create",
        "key.create",
        "limit.set",
        "key.change",
        "key.rotate",
        *["key.change"] * 2,
    ]
    assert text not in str(admin.changes())


def test_a_dry_run_shows_no_key(admin: Admin) -> None:
    shown = admin.ask("POST", "/keys?dry_run=true", json={"user": "alice"})
    assert [each["action"] for each in shown.json()["changes"]] == ["user.create", "key.create"]
    assert "sk-zg-" not in shown.text
    assert admin.get("/keys").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "user"),
        ({"user": "alice", "models": ["gpt-image-9"]}, "models"),
        ({"user": "alice", "limits": ["images:many/day"]}, "limits"),
        ({"user": "alice", "limits": [1]}, "limits[0]"),
        ({"user": "alice", "expires_at": "soon"}, "expires_at"),
        ({"user": "alice", "disabled": True}, "disabled"),
        ({"user": "alice", "expires_at": "2001-01-01T00:00:00Z"}, None),
    ],
)
def test_a_key_that_cannot_be_made(admin: Admin, body: dict[str, object], param: str | None) -> None:
    refused = admin.ask("POST", "/keys", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
    assert admin.actions() == []


def test_a_limit_is_set_once_and_found_by_its_id(admin: Admin) -> None:
    admin.ask("PUT", "/users/alice", json={})
    made = admin.ask("PUT", "/limits", json=limit("user", "alice", "usd", "5.5", model="gpt-image-2"))
    assert made.status_code == 201, made.text
    assert made.json()["limit"] == "usd:5.50/day@openai/gpt-image-2"
    assert (made.json()["amount_usd"], made.json()["amount_nanousd"]) == ("5.50", 5_500_000_000)
    where = f"/limits/{made.json()['id']}"
    assert admin.get(where).json() == made.json() == admin.get("/limits?scope=user&name=alice").json()["data"][0]
    again = admin.ask("PUT", "/limits", json=limit("user", "alice", "usd", 6, model="gpt-image-2", shadow=True))
    assert (again.status_code, again.json()["id"], again.json()["shadow"]) == (200, made.json()["id"], True)
    stale = {"if-match": made.headers["etag"]}
    assert admin.ask("DELETE", where, headers=stale).status_code == 412
    assert admin.ask("DELETE", where).json() == again.json()
    assert admin.get(where).status_code == admin.ask("DELETE", where).status_code == 404
    assert admin.actions() == ["user.create", "limit.set", "limit.set", "limit.remove"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (limit("user", None, "images", 5), "name"),
        (limit("gateway", "alice", "images", 5), "name"),
        (limit("user", "alice", "images", "many"), "amount"),
        (limit("user", "alice", "images", 5.5), "amount"),
        (limit("user", "alice", "pictures", 5), "unit"),
        (limit("user", "alice", "concurrent", 5), "amount"),
        ({"scope": "user", "name": "alice", "unit": "images", "amount": 5}, "amount"),
    ],
)
def test_a_limit_that_cannot_be_set(admin: Admin, body: dict[str, object], param: str) -> None:
    admin.ask("PUT", "/users/alice", json={})
    refused = admin.ask("PUT", "/limits", json=body)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"].startswith(param)


def test_a_lead_manages_the_keys_of_the_team_and_no_more(admin: Admin, everybody: dict[Role, Admin]) -> None:
    lead = everybody[Role.LEAD]
    made = lead.ask("POST", "/keys", json={"user": "mia"})
    assert made.status_code == 201, made.text
    assert lead.ask("POST", f"/keys/{made.json()['id']}/rotate", json={}).status_code == 200
    assert lead.ask("DELETE", f"/keys/{made.json()['id']}").status_code == 200
    assert {key["user"] for key in lead.get("/keys").json()["data"]} == {"lena", "mia"}
    assert {key["user"] for key in everybody[Role.MEMBER].get("/keys").json()["data"]} == {"mia"}
    own = next(key for key in lead.get("/keys").json()["data"] if key["role"] == "lead")
    other = next(key for key in admin.get("/keys").json()["data"] if key["user"] == "ada")
    for status, method, path, body in (
        (404, "POST", "/keys", {"user": "otto"}),
        (404, "POST", "/keys", {"user": "somebody new"}),
        (403, "POST", "/keys", {"user": "mia", "role": "lead"}),
        (403, "POST", "/keys", {"user": "lena"}),  # it would have none of the bounds of the lead's other keys
        (403, "POST", "/keys", {"user": own["user_id"], "limits": ["images:1/day"]}),
        (403, "PUT", f"/keys/{made.json()['id']}", {"disabled": False}),
        (403, "POST", f"/keys/{own['id']}/rotate", {}),
        (403, "DELETE", f"/keys/{own['id']}", None),
        (404, "DELETE", f"/keys/{other['id']}", None),
    ):
        refused = lead.ask(method, path, **({} if body is None else {"json": body}))
        assert refused.status_code == status, (method, path, body, refused.text)


def test_a_lead_cannot_leave_the_bounds_of_the_own_key(admin: Admin, everybody: dict[Role, Admin]) -> None:
    bound = {"user": "lena", "models": ["gpt-image-2"], "limits": ["images:1/day"]}
    own = admin.ask("POST", "/keys", json=bound).json()
    lead, before = everybody[Role.LEAD], admin.actions()
    for headers in ({}, {"idempotency-key": "once"}):
        for query in ("", "?dry_run=true"):
            refused = lead.ask("POST", f"/keys{query}", json={"user": "lena"}, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_permitted"), refused.text
    assert admin.actions() == before
    admin.ask("PUT", f"/keys/{own['id']}", json={"role": None})
    turned = lead.ask("POST", f"/keys/{own['id']}/rotate", json={}).json()
    assert (turned["id"], turned["models"], turned["limits"]) == (own["id"], own["models"], ["images:1/day"])
    assert lead.ask("POST", "/keys", json={"user": "mia"}).status_code == 201  # that is for a lead to decide


def test_a_lead_sets_limits_below_the_team_and_never_the_own(admin: Admin, everybody: dict[Role, Admin]) -> None:
    lead = everybody[Role.LEAD]
    set_limits(admin.operator, Target(Scope.TEAM, "a"), [parse_limit("images:50/day")])
    assert lead.ask("PUT", "/limits", json=limit("user", "mia", "images", 50)).status_code == 201
    own = next(key for key in lead.get("/keys").json()["data"] if key["role"] == "lead")
    raised = {"raised_to": 51, "raised_until": (utc_now() + timedelta(hours=1)).isoformat()}
    for status, body in (
        (403, limit("user", "mia", "images", 51)),
        (403, limit("user", "mia", "images", 5, **raised)),
        (403, limit("user", "lena", "images", 5, **raised)),
        (403, limit("user", "mia", "images", 5, shadow=True)),
        (403, limit("user", "lena", "images", 5)),
        (403, limit("key", own["id"], "images", 5)),
        (403, limit("team", "a", "images", 500)),
        (403, limit("gateway", None, "images", 500)),
        (403, limit("default", None, "images", 500)),
        (404, limit("user", "otto", "images", 5)),
        (404, limit("team", "b", "images", 5)),
    ):
        refused = lead.ask("PUT", "/limits", json=body)
        assert refused.status_code == status, (body, refused.text)
    (mine,) = (each for each in lead.get("/limits").json()["data"] if each["scope"] == "user")
    assert lead.ask("DELETE", f"/limits/{mine['id']}").status_code == 403
    assert lead.ask("POST", "/keys", json={"user": "mia", "limits": ["images:51/day"]}).status_code == 403
    assert {each["name"] for each in lead.get("/limits").json()["data"]} == {"a", "mia"}
    assert [each["name"] for each in everybody[Role.MEMBER].get("/limits").json()["data"]] == ["mia"]


def test_a_request_that_comes_twice_mints_once(admin: Admin, everybody: dict[Role, Admin]) -> None:
    once = {"idempotency-key": "order-1"}
    body = {"user": "mia", "name": "laptop"}
    made = admin.ask("POST", "/keys", json=body, headers=once)
    again = admin.ask("POST", "/keys", json=body, headers=once)
    assert (made.status_code, again.status_code) == (201, 200)
    assert (again.json(), again.headers["x-gateway-replayed"]) == (made.json() | {"key": None}, "true")
    other = admin.ask("POST", "/keys", json=body | {"name": "phone"}, headers=once)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reuse")
    lead = everybody[Role.LEAD].ask("POST", "/keys", json=body, headers=once)  # somebody else's key of the same name
    assert (lead.status_code, lead.json()["id"] != made.json()["id"]) == (201, True)
    rotate = f"/keys/{made.json()['id']}/rotate"
    turned = {"idempotency-key": "turn-1"}
    first = admin.ask("POST", rotate, json={"overlap_seconds": 0}, headers=turned).json()
    assert admin.ask("POST", rotate, json={"overlap_seconds": 0}, headers=turned).json()["key"] is None
    assert admin.as_(first["key"]).get("/status").status_code == 200  # the second did not end it
    assert admin.ask("POST", rotate, json={"overlap_seconds": 5}, headers=turned).status_code == 422
    assert admin.ask("POST", "/keys?dry_run=true", json=body, headers={"idempotency-key": "try"}).status_code == 200
    assert admin.ask("POST", "/keys", json=body, headers={"idempotency-key": "try"}).status_code == 201
    assert first["key"] not in str(admin.changes())
