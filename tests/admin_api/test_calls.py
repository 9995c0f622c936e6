"""If-Match and If-None-Match on every route that changes something: kept, or refused by name; never passed over."""

from typing import Any

import pytest

from app.admin_api.document import document_of
from app.admin_api.door import admin_door
from tests.admin_api.conftest import Admin
from tests.admin_api.test_roles import LIMIT, ROUTES

CHANGES = [
    (method, route, path, body)
    for method, route, path, body, _ in ROUTES
    if method != "GET" and not route.endswith("/cancel")  # which needs a job that runs: tests/admin_api/test_jobs.py
]
CONDITIONS = {"if-match": '"other"', "if-none-match": "*"}
WITHOUT_A_THING = {"/admin/v1/keys", "/admin/v1/limits/explain", "/admin/v1/apply", "/admin/v1/reload"}


@pytest.mark.parametrize(("method", "route", "path", "body"), CHANGES)
def test_no_condition_is_passed_over(admin: Admin, method: str, route: str, path: str, body: Any) -> None:
    for name in ("a", "c"):
        admin.ask("PUT", f"/teams/{name}", json={})
    admin.ask("PUT", "/users/mia", json={"team": "a"})
    key = admin.ask("POST", "/keys", json={"user": "mia"}).json()["id"]
    limit = admin.ask("PUT", "/limits", json=LIMIT | {"amount": 5}).json()["id"]
    thing = {"/limits": f"/limits/{limit}"}.get(path, path.removesuffix("/rotate").removesuffix("/rest"))
    where, thing = (each.replace("KEY", key).replace("LIMIT", limit) for each in (path, thing))
    more = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
    before = admin.actions()
    for name, value in CONDITIONS.items():
        refused = admin.ask(method, where, headers={name: value}, **more)
        error = refused.json()["error"]
        if route in WITHOUT_A_THING and method == "POST":
            assert (refused.status_code, error["param"].lower(), error["code"]) == (400, name, "invalid_value")
        else:
            assert (refused.status_code, error["code"]) == (412, "changed_meanwhile"), (name, refused.text)
    assert admin.actions() == before
    if route in WITHOUT_A_THING and method == "POST":
        return
    etag = admin.get(thing.removesuffix("/resume")).headers["etag"]
    done = admin.ask(method, where, headers={"if-match": f'"other", {etag}'}, **more)
    assert done.status_code == 200, done.text


def test_the_document_has_them_where_they_are_kept() -> None:
    for path, operations in document_of(admin_door().openapi())["paths"].items():
        for method, operation in operations.items():
            headers = {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}
            is_kept = method in ("put", "delete") or (method == "post" and path not in WITHOUT_A_THING)
            assert (headers >= CONDITIONS.keys()) is is_kept, (method, path)
            assert ("412" in operation["responses"]) is is_kept, (method, path)
