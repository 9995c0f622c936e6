"""Every route as every role, over HTTP: allowed or refused as the table of roles says. Changes are tried, not made."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.admin.access.permissions import PERMISSIONS, Permission, Reach
from app.admin_api.door import ROUTERS
from app.identity.people.roles import Role
from tests.admin_api.conftest import Admin

LIMIT = {"scope": "user", "name": "mia", "unit": "images", "window": "day", "amount": 1}
EXPLAINED = {"user": "mia", "model": "gpt-image-2"}
START = "?start_time=1790000000"

# Method and route; where it is asked, about what belongs to Mia of the team a; its body; the permission that it needs.
ROUTES: list[tuple[str, str, str, Any, Permission]] = [
    ("GET", "/admin/v1/status", "/status", None, Permission.READ_CATALOG),
    ("GET", "/admin/v1/teams", "/teams", None, Permission.READ_PEOPLE),
    ("GET", "/admin/v1/teams/{name:path}", "/teams/a", None, Permission.READ_PEOPLE),
    ("PUT", "/admin/v1/teams/{name:path}", "/teams/c", {}, Permission.CHANGE_TEAMS),
    ("GET", "/admin/v1/users", "/users", None, Permission.READ_PEOPLE),
    ("GET", "/admin/v1/users/{name:path}", "/users/mia", None, Permission.READ_PEOPLE),
    ("PUT", "/admin/v1/users/{name:path}", "/users/mia", {"team": None}, Permission.CHANGE_USERS),
    ("DELETE", "/admin/v1/users/{name:path}", "/users/mia", None, Permission.CHANGE_USERS),
    ("GET", "/admin/v1/keys", "/keys", None, Permission.READ_PEOPLE),
    ("POST", "/admin/v1/keys", "/keys", {"user": "mia"}, Permission.MINT_KEYS),
    ("GET", "/admin/v1/keys/{key_id}", "/keys/KEY", None, Permission.READ_PEOPLE),
    ("PUT", "/admin/v1/keys/{key_id}", "/keys/KEY", {"name": "x"}, Permission.CHANGE_KEYS),
    ("DELETE", "/admin/v1/keys/{key_id}", "/keys/KEY", None, Permission.DISABLE_KEYS),
    ("POST", "/admin/v1/keys/{key_id}/rotate", "/keys/KEY/rotate", {}, Permission.MINT_KEYS),
    ("GET", "/admin/v1/limits", "/limits", None, Permission.READ_PEOPLE),
    ("PUT", "/admin/v1/limits", "/limits", LIMIT, Permission.SET_LIMITS),
    ("POST", "/admin/v1/limits/explain", "/limits/explain", EXPLAINED, Permission.READ_PEOPLE),
    ("GET", "/admin/v1/limits/{limit_id:int}", "/limits/LIMIT", None, Permission.READ_PEOPLE),
    ("DELETE", "/admin/v1/limits/{limit_id:int}", "/limits/LIMIT", None, Permission.REMOVE_LIMITS),
    ("GET", "/admin/v1/requests", "/requests", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/requests/{request_id}", "/requests/none", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/reservations", "/reservations", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/jobs", "/jobs", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/jobs/{job_id}", "/jobs/none", None, Permission.READ_USAGE),
    ("POST", "/admin/v1/jobs/{job_id}/cancel", "/jobs/none/cancel", None, Permission.OPERATE),
    ("GET", "/admin/v1/usage", "/usage", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/refusals", "/refusals", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/files", "/files", None, Permission.READ_USAGE),
    ("GET", "/admin/v1/changes", "/changes", None, Permission.READ_CHANGES),
    ("GET", "/admin/v1/catalog", "/catalog", None, Permission.READ_CATALOG),
    ("GET", "/admin/v1/accounts", "/accounts", None, Permission.READ_GATEWAY),
    ("GET", "/admin/v1/accounts/{name}", "/accounts/main", None, Permission.READ_GATEWAY),
    ("POST", "/admin/v1/accounts/{name}/rest", "/accounts/main/rest", {}, Permission.OPERATE),
    ("POST", "/admin/v1/accounts/{name}/resume", "/accounts/main/resume", {}, Permission.OPERATE),
    ("GET", "/admin/v1/reconciliations", "/reconciliations", None, Permission.READ_GATEWAY),
    ("POST", "/admin/v1/apply", "/apply", b"version: 1\n", Permission.OPERATE),
    ("POST", "/admin/v1/reload", "/reload", None, Permission.OPERATE),
    ("GET", "/v1/organization/usage/images", f"/v1/organization/usage/images{START}", None, Permission.READ_GATEWAY),
    ("GET", "/v1/organization/costs", f"/v1/organization/costs{START}", None, Permission.READ_GATEWAY),
]


def test_every_cell_of_the_table(admin: Admin, everybody: dict[Role, Admin]) -> None:
    assert admin.ask("PUT", "/limits", json=LIMIT | {"amount": 5}).status_code == 201
    assert admin.ask("PUT", "/limits", json=LIMIT | {"scope": "team", "name": "a"}).status_code == 201
    (key,) = admin.get("/keys?user=mia").json()["data"]
    (limit,) = admin.get("/limits?scope=user").json()["data"]
    before = admin.actions()
    wrong = []
    for method, route, path, body, permission in ROUTES:
        where = path.replace("KEY", key["id"]).replace("LIMIT", limit["id"])
        if method != "GET" and not route.endswith("/explain"):
            where += "?dry_run=true"
        more = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
        for role, client in everybody.items():
            answer = client.ask(method, where, **more)
            reach = PERMISSIONS[permission][role]
            expected = 403 if reach is Reach.NONE else 200
            if path.endswith(("/none", "/none/cancel")) and reach is not Reach.NONE:
                expected = 404  # there is none
            if route.endswith("/teams/{name:path}") and reach is Reach.OWN:
                expected = 404  # a team shows others
            if route.endswith("/reload") and reach is not Reach.NONE:
                expected = 409  # this gateway's settings come from the test
            if answer.status_code != expected:
                wrong.append(f"{method} {where} as {role}: {answer.status_code} instead of {expected}: {answer.text}")
    assert not wrong, "\n".join(wrong)
    assert admin.actions() == before


@pytest.mark.parametrize("key", ["x", "sk-zg-nothing-nothing", "0123456789abcdef0123456789abcdeX"])
def test_nobody_comes_in_without_a_key(admin: Admin, key: str) -> None:
    for method, _, path, body, _ in ROUTES:
        more = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
        answer = admin.as_(key).ask(method, path.replace("LIMIT", "1"), **more)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), (method, path)


def test_no_route_is_left_out() -> None:
    every = {
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert every == {(method, route) for method, route, *_ in ROUTES}
