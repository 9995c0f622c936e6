"""What was asked for and what it cost, over HTTP: requests, usage, refusals, files, changes, accounts, the bill."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert

from app.admin.usage import usage_report
from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema.total_tables import reconciliations, refusal_hours
from app.identity.people.roles import Role
from app.main import utc_now
from app.quotas.reports.usage import Grouping
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.servers import fetch_json, wait_until

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def upstream_url(sandbox: SandboxServer) -> str:
    return sandbox.url


def buy(admin: Admin, key: str, **fields: Any) -> httpx2.Response:
    body = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low", **fields}
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{admin.gateway.url}/images/generations", json=body, headers=headers, timeout=60)


def rows(admin: Admin, path: str) -> list[dict[str, Any]]:
    answer = admin.get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_requests_are_listed_page_by_page_and_shown(
    admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]
) -> None:
    mia, otto = admin.key_of("mia"), admin.key_of("otto")
    ids = [buy(admin, key).headers["x-request-id"] for key in (mia, otto, mia)]
    admin.gateway.store.settled(3)
    assert [each["id"] for each in rows(admin, "/requests")] == ids[::-1]
    first = admin.get("/requests?limit=2").json()
    assert first["has_more"] is True
    assert [each["id"] for each in rows(admin, f"/requests?limit=2&after={first['last_id']}")] == ids[:1]
    shown = admin.get(f"/requests/{ids[0]}").json()
    assert (shown["user"], shown["team"], shown["state"], shown["charged_images"]) == ("mia", "a", "settled", 1)
    assert shown in rows(admin, f"/requests?user={shown['user_id']}&state=settled&model=openai/gpt-image-2")
    assert rows(admin, "/requests?outcome=expired") == rows(admin, "/requests?state=live") == []
    assert admin.get("/requests?after=nothing").json()["error"]["param"] == "after"
    for role, seen in ((Role.AUDITOR, ids[::-1]), (Role.LEAD, [ids[2], ids[0]]), (Role.MEMBER, [ids[2], ids[0]])):
        assert [each["id"] for each in rows(everybody[role], "/requests")] == seen
        assert everybody[role].get(f"/requests/{ids[1]}").status_code == (200 if role is Role.AUDITOR else 404)
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_what_runs_is_shown_with_its_phase_and_what_it_holds(admin: Admin, sandbox: SandboxServer) -> None:
    key = admin.key_of("alice")
    buying = threading.Thread(target=buy, args=(admin, key), kwargs={"prompt": "a house [sandbox: delay=5s]"})
    buying.start()
    seen: list[dict[str, Any]] = []

    def is_waiting() -> bool:
        seen[:] = rows(admin, "/requests?state=live")
        return bool(seen) and seen[0]["phase"] == "waiting"

    wait_until(is_waiting, "the request waits for its answer")
    (live,) = seen
    assert rows(admin, "/reservations")[0]["id"] == live["id"]
    assert (live["state"], live["sent_bytes"], live["user"]) == ("pending", 0, "alice")
    assert live["held_nanousd"] > 0
    assert live["age_seconds"] >= 0
    assert live["process_is_alive"] is True
    assert live["charged_usd"] is None
    buying.join()
    admin.gateway.store.settled(1)
    assert rows(admin, "/reservations") == []
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_usage_equals_the_report_to_the_nanodollar(
    admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]
) -> None:
    keys = {name: admin.key_of(name) for name in ("mia", "otto")}
    for name, fields in (("mia", {}), ("mia", {"quality": "high", "n": 2}), ("otto", {"size": "1536x1024"})):
        assert buy(admin, keys[name], **fields).status_code == 200
    admin.gateway.store.settled(3)
    with usage_report(admin.operator, Grouping.USER) as report:
        expected = {row.id: (row.requests, row.images, row.tokens, row.nanousd) for row in report}
    for bucket in ("all", "day", "hour", "minute"):
        found: dict[str, list[int]] = {}
        for row in rows(admin, f"/usage?by=user&bucket={bucket}"):
            sums = found.setdefault(row["user_id"], [0, 0, 0, 0])
            for at, name in enumerate(("requests", "images", "tokens", "nanousd")):
                sums[at] += row[name]
        assert {user: tuple(sums) for user, sums in found.items()} == expected
    assert {
        (row["size"], row["quality"], row["images"]) for row in rows(admin, "/usage?by=size,quality&bucket=all")
    } == {
        ("1024x1024", "low", 1),
        ("1024x1024", "high", 2),
        ("1536x1024", "low", 1),
    }
    assert [row["user"] for row in rows(admin, "/usage?by=user&bucket=all&team=a")] == ["mia"]
    assert [row["user"] for row in rows(everybody[Role.LEAD], "/usage?by=user&bucket=all")] == ["mia"]
    assert sum(row["images"] for row in rows(everybody[Role.MEMBER], "/usage?bucket=all")) == 3
    assert admin.get("/usage?by=prompt").json()["error"]["param"] == "by"
    assert rows(admin, "/usage?until=2020-01-01&since=2019-01-01") == []
    for query in ("by=size,model,user", "by=size,model,user&bucket=all", "bucket=hour&by=model", "", "bucket=all"):
        whole, after = rows(admin, f"/usage?{query}"), ""
        for number, row in enumerate(whole, 1):
            page = admin.get(f"/usage?limit=1&{query}{after}").json()
            assert (page["data"], page["has_more"]) == ([row], number < len(whole)), query
            after = f"&after={row['id']}"
        assert rows(admin, f"/usage?{query}{after}") == []
    for after in ("nothing", "all", "2026-11-01/x", "2026-11-01T00:00:00Z", "2026-13-01T00:00:00Z/x", "a/b/c"):
        assert admin.get(f"/usage?by=user&after={after}").json()["error"]["param"] == "after"
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_limit_acts_at_once_in_the_process_that_set_it(admin: Admin, sandbox: SandboxServer) -> None:
    """The ledger of this process remembers limits and counters; the API writes with connections of its own."""
    key = admin.key_of("alice")
    assert buy(admin, key).status_code == 200
    body = {"scope": "user", "name": "alice", "unit": "images", "window": "day", "amount": 1}
    for amount, status in ((1, 429), (2, 200), (2, 429), (3, 200)):
        assert admin.ask("PUT", "/limits", json=body | {"amount": amount}).status_code < 300
        assert buy(admin, key).status_code == status
    (limit,) = rows(admin, "/limits?scope=user")
    assert buy(admin, key).status_code == 429
    assert admin.ask("DELETE", f"/limits/{limit['id']}").status_code == 200
    assert buy(admin, key).status_code == 200
    admin.gateway.store.settled(4)
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_what_a_request_would_meet_is_explained(admin: Admin, everybody: dict[Role, Admin]) -> None:
    for scope, name, unit, window, amount in (
        ("user", "mia", "images", "day", 3),
        ("gateway", None, "usd", "month", "100"),
        ("team", "a", "concurrent", None, 9),
    ):
        limit = {"scope": scope, "name": name, "unit": unit, "window": window, "amount": amount}
        assert admin.ask("PUT", "/limits", json=limit).status_code == 201
    asked = {"user": "mia", "model": "gpt-image-2", "size": "1536x1024", "quality": "high", "n": 4}
    shown = admin.ask("POST", "/limits/explain", json=asked).json()
    assert (shown["admitted"], shown["images"], shown["model"]) == (False, 4, "openai/gpt-image-2")
    assert "images:3/day" in shown["refusal"]
    first = shown["limits"][0]
    assert (first["scope"], first["needed"], first["fits"]) == ("user", 4, False)
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert {each["window"]: each["resets_at"] for each in shown["limits"]} == {
        "day": (today + timedelta(days=1)).isoformat(),
        "month": (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat(),
        "now": None,
    }
    assert shown["limits"][-1]["amount"] == "100.00"
    mine = everybody[Role.MEMBER].ask("POST", "/limits/explain", json=asked | {"n": 1}).json()
    assert (mine["admitted"], mine["limits"][-1]["amount"]) == (True, None)  # what all may use is not for members
    assert everybody[Role.MEMBER].ask("POST", "/limits/explain", json=asked | {"user": "lena"}).status_code == 404
    faults: list[tuple[dict[str, Any], str | None]] = [
        ({"size": "1x1"}, "size"),
        ({"n": 0}, "n"),
        ({"user": None}, None),
    ]
    for fault, param in faults:
        refused = admin.ask("POST", "/limits/explain", json=asked | fault)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_changes_refusals_and_the_bill(admin: Admin, everybody: dict[Role, Admin]) -> None:
    mine = rows(everybody[Role.MEMBER], "/changes")
    assert {each["action"] for each in mine} == {"user.create", "key.create"}
    assert len(rows(everybody[Role.LEAD], "/changes")) > len(mine)
    every = rows(admin, "/changes")
    assert every == rows(everybody[Role.AUDITOR], "/changes")
    first = admin.get("/changes?limit=3").json()
    assert [*first["data"], *rows(admin, f"/changes?after={first['last_id']}")] == every
    assert {each["actor"] for each in rows(admin, "/changes?actor=cli&target=mia")} == {"cli:test"}
    users = {user["name"]: user["id"] for user in rows(admin, "/users")}
    hour = to_ms(utc_now().replace(minute=0, second=0, microsecond=0))
    counts = [
        {"hour_start_ms": hour, "user_id": users.get(name, ""), "key_id": "", "code": "insufficient_quota", "count": 2}
        for name in ("mia", "otto", "")
    ]
    day = {"day_start_ms": hour // 86_400_000 * 86_400_000, "model": "m", "account": "", "checked_at_ms": hour}
    billed = {"ledger_requests": 1, "ledger_nanousd": 10, "billed_requests": 1, "billed_nanousd": 12}
    with writing(admin.gateway.store.engine) as connection:
        connection.execute(insert(refusal_hours), counts)
        connection.execute(insert(reconciliations), [day | billed])
    assert {each["user"] for each in rows(admin, "/refusals")} == {"mia", "otto", None}
    assert [each["user"] for each in rows(everybody[Role.LEAD], "/refusals")] == ["mia"]
    assert [each["count"] for each in rows(admin, f"/refusals?user={users['otto']}")] == [2]
    for path in ("/refusals", "/reconciliations"):
        for wrong in ("nothing", "a/b", "noon/b/c", "noon/b/c/d", "2026-13-01/b/c", "2026-11-24T09:00:00/a/b/c"):
            refused = admin.get(f"{path}?after={wrong}")
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "after"), wrong
    (checked,) = rows(everybody[Role.AUDITOR], "/reconciliations")
    assert (checked["drift_nanousd"], checked["drift_usd"], checked["model"]) == (-2, "-0.000000002", "m")
    for path in ("/reconciliations", "/accounts"):
        assert everybody[Role.LEAD].get(path).status_code == 403


def test_what_no_id_can_be_is_refused_by_name(admin: Admin) -> None:
    asked = {
        "/requests?user_id=%00": "user_id",
        "/requests?after=a%00": "after",
        "/requests/a%00": "request_id",
        "/usage?by=user&model=%00": "model",
        "/refusals?after=2026-11-24T09:00:00Z/%00/a/b": "after",
        "/reconciliations?after=2026-11-24/%00/a": "after",
        "/v1/organization/costs?start_time=1790000000&user_ids=%00": "user_ids",
    }
    for path, param in asked.items():
        refused = admin.get(path)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), path


def test_accounts_rest_and_are_resumed(admin: Admin, everybody: dict[Role, Admin]) -> None:
    (account,) = rows(admin, "/accounts")
    assert (account["id"], account["rested_by_operator"]) == ("main", False)
    until = (utc_now() + timedelta(hours=1)).isoformat()
    rested = admin.ask("POST", "/accounts/main/rest", json={"until": until})
    assert (rested.status_code, rested.json()["rested_by_operator"]) == (200, True)
    assert everybody[Role.AUDITOR].ask("POST", "/accounts/main/resume", json={}).status_code == 403
    assert admin.ask("POST", "/accounts/main/resume", json={}).json()["rested_by_operator"] is False
    assert admin.ask("POST", "/accounts/spare/rest", json={}).status_code == 404


def test_files_are_listed_without_what_would_open_them(admin: Admin, everybody: dict[Role, Admin]) -> None:
    made = buy(admin, admin.key_of("otto"), response_format="url")
    assert made.status_code == 200, made.text
    name = made.json()["data"][0]["url"].split("/files/")[1].split(".")[0]
    (file,) = (each for each in rows(admin, "/files") if each["kind"] == "image")
    assert (file["user"], file["request_id"]) == ("otto", made.headers["x-request-id"])
    assert name not in str(file)
    assert file in rows(admin, "/files?user=otto")
    assert rows(admin, "/files?user=mia") == rows(admin, "/files?user=nobody") == []
    assert rows(everybody[Role.LEAD], "/files") == rows(everybody[Role.MEMBER], "/files") == []


def test_a_file_is_applied_or_tried(admin: Admin, everybody: dict[Role, Admin]) -> None:
    content = b"version: 1\nteams: {design: {}}\nusers: {alice: {team: design}}\nkeys: {alice/laptop: {}}\n"
    tried = admin.ask("POST", "/apply?dry_run=true", content=content)
    assert [each["action"] for each in tried.json()["changes"]] == ["team.create", "user.create", "key.create"]
    assert everybody[Role.AUDITOR].ask("POST", "/apply", content=content).status_code == 403
    done = admin.ask("POST", "/apply", content=content).json()
    assert [line[:6] for line in done["changes"]] == ["+ team", "+ user", "+ key "]
    assert admin.get(f"/keys/{done['unclaimed'][0]}").json()["name"] == "laptop"
    assert admin.changes()[-1].actor.startswith("file:")
    assert admin.ask("POST", "/apply", content=content).json()["changes"] == []
    refused = admin.ask("POST", "/apply", content=b"version: 1\nusres: {}\n")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_value")
    assert "line 2" in refused.json()["error"]["message"]
    managed = admin.ask("PUT", "/users/alice", json={"team": None})
    assert (managed.status_code, managed.json()["error"]["code"]) == (409, "conflict")


def test_the_catalog_is_for_everybody(everybody: dict[Role, Admin]) -> None:
    for who in everybody.values():
        assert "gpt-image-2" in {model["name"] for model in rows(who, "/catalog")}
