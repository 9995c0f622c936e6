"""Jobs as operators see them: whose they are and what became of them, never what was asked for or the answer."""

import csv
import io
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from app.identity.people.roles import Role
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.servers import assert_bill_is_ledger, wait_until

SECRET = "a house that nobody may know of"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


def submit(admin: Admin, key: str, more: str = "") -> dict[str, Any]:
    body = {"model": "gpt-image-2", "prompt": f"{SECRET} {more}", "size": "1024x1024", "quality": "low"}
    headers = {"authorization": f"Bearer {key}", "prefer": "respond-async"}
    answer = httpx2.post(f"{admin.gateway.url}/images/generations", json=body, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def listed(admin: Admin, query: str = "") -> list[dict[str, Any]]:
    answer = admin.get(f"/jobs{query}")
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_jobs_are_listed_filtered_and_shown_without_prompt_and_answer(
    admin: Admin, sandbox: SandboxServer, upstream: None, everybody: dict[Role, Admin]
) -> None:
    mia, otto = admin.key_of("mia"), admin.key_of("otto")
    jobs = [submit(admin, mia), submit(admin, otto, "[sandbox: moderation]"), submit(admin, mia)]
    wait_until(lambda: len(listed(admin, "?status=in_progress")) == 0, "all have ended")
    first, failed, last = (job["id"] for job in jobs)
    assert {each["id"]: each["status"] for each in listed(admin)} == {
        last: "completed", failed: "failed", first: "completed",
    }  # fmt: skip
    assert [each["id"] for each in listed(admin, "?user=mia")] == [last, first]
    assert [each["id"] for each in listed(admin, "?status=failed")] == [failed]
    assert listed(admin, "?user=nobody") == listed(admin, "?user=otto&status=completed") == []
    page = admin.get("/jobs?limit=2").json()
    assert (page["has_more"], page["last_id"]) == (True, failed)
    assert [each["id"] for each in listed(admin, f"?limit=2&after={failed}")] == [first]
    assert admin.get("/jobs?after=none").json()["error"]["param"] == "after"
    answer = admin.get(f"/jobs/{failed}")
    shown = answer.json()
    assert SECRET not in answer.text
    assert (shown["user"], shown["error_status"], shown["error_code"]) == ("otto", 400, "moderation_blocked")
    assert admin.get(f"/requests/{shown['request_id']}").json()["user"] == "otto"
    table = list(csv.DictReader(io.StringIO(admin.get("/jobs", headers={"accept": "text/csv"}).text)))
    assert [row["id"] for row in table] == [last, failed, first]
    for role, seen in ((Role.AUDITOR, 3), (Role.LEAD, 2), (Role.MEMBER, 2)):  # Mia is in the lead's team
        assert len(listed(everybody[role])) == seen
        assert everybody[role].get(f"/jobs/{failed}").status_code == (200 if role is Role.AUDITOR else 404)
    assert listed(everybody[Role.LEAD], "?user=otto") == []
    assert everybody[Role.LEAD].get(f"/jobs?after={failed}").status_code == 400, "not even that it is there"
    assert_bill_is_ledger(admin.gateway, sandbox, 2)


def test_what_is_sent_is_not_cancelled(admin: Admin, sandbox: SandboxServer, upstream: None) -> None:
    job = submit(admin, admin.key_of("mia"), "[sandbox: delay=2s]")
    wait_until(lambda: admin.gateway.store.rows()[0]["dispatched_at_ms"] is not None, "it is sent")
    for query in ("?dry_run=true", ""):
        refused = admin.ask("POST", f"/jobs/{job['id']}/cancel{query}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "job.cancel" not in admin.actions()
    wait_until(lambda: [each["status"] for each in listed(admin)] == ["completed"], "it has ended")
    assert_bill_is_ledger(admin.gateway, sandbox, 1)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Nobody accepts a connection to it: whoever tries waits before the first byte."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # they fill its queue
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener
        for filler in fillers:
            filler.close()


@pytest.fixture
def upstream_url(request: pytest.FixtureRequest) -> str:
    if "upstream" in request.fixturenames:
        server: SandboxServer = request.getfixturevalue("sandbox")
        return server.url
    return f"http://127.0.0.1:{request.getfixturevalue('silent').getsockname()[1]}/api/v1"


@pytest.fixture
def upstream() -> None:
    """Says that the gateway asks the sandbox."""


def test_what_is_not_sent_yet_is_cancelled_by_admins_alone(admin: Admin, everybody: dict[Role, Admin]) -> None:
    job = submit(admin, admin.key_of("mia"))
    path = f"/jobs/{job['id']}/cancel"
    for role in (Role.AUDITOR, Role.LEAD, Role.MEMBER):
        assert everybody[role].ask("POST", path).status_code == 403
    shown = admin.get(f"/jobs/{job['id']}")
    tried = admin.ask("POST", f"{path}?dry_run=true").json()
    assert [(each["action"], each["target"]) for each in tried["changes"]] == [("job.cancel", job["id"])]
    assert admin.ask("POST", path, headers={"if-match": '"other"'}).status_code == 412
    assert [each["status"] for each in listed(admin)] == ["in_progress"]
    cancelled = everybody[Role.ADMIN].ask("POST", path, headers={"if-match": shown.headers["etag"]})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled"), cancelled.text
    change = admin.changes()[-1]
    assert (change.action, change.target, change.actor.startswith("key:")) == ("job.cancel", job["id"], True)
    (row,) = admin.gateway.store.settled(1)
    assert (row["state"], row["charged_nanousd"]) == ("released", 0)
    wait_until(lambda: [each["status"] for each in listed(admin)] == ["cancelled"], "its end is written")
    assert admin.ask("POST", path).status_code == 409
