"""What lists are filtered by, the same everywhere: whose, by name or id, and a span of time."""

from datetime import UTC, datetime, timedelta

import pytest

from app.admin_api.document import document_of
from app.admin_api.door import admin_door
from app.admin_api.filters import OwnersQuery, TimesQuery
from app.identity.people.roles import Role
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.admin_api.test_jobs import submit
from tests.admin_api.test_records import buy, rows, sandbox, upstream_url
from tests.servers import assert_bill_is_ledger, wait_until

__all__ = ["sandbox", "upstream_url"]

TIMES = {"since", "until"}
OWNERS = {"user", "team", "key"}
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_span_has_its_beginning_and_not_its_end() -> None:
    asked = TimesQuery(since="2026-11-01T12:00Z", until="2026-11-01T13:00Z")
    assert [asked.has(NOON + timedelta(minutes=each)) for each in (-1, 0, 59, 60)] == [False, True, True, False]
    assert TimesQuery().has(NOON)
    assert OwnersQuery(user="mia", key="k").columns() == (("user_id", "mia"), ("key_id", "k"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        *((f"/{name}", TIMES) for name in ("teams", "users", "keys", "changes", "reconciliations", "jobs", "files")),
        *((f"/{name}", TIMES | OWNERS) for name in ("requests", "reservations", "refusals", "usage")),
    ],
)
def test_every_list_with_times_takes_a_span(path: str, words: set[str]) -> None:
    operation = document_of(admin_door().openapi())["paths"][f"/admin/v1{path}"]["get"]
    assert words <= {each["name"] for each in operation["parameters"]}


def test_names_and_spans_choose_rows(admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]) -> None:
    mia, otto = admin.key_of("mia"), admin.key_of("otto")
    assert buy(admin, mia, response_format="url").status_code == 200
    assert buy(admin, otto).status_code == 200
    submit(admin, mia, "[sandbox: delay=4s]")

    def is_sent() -> bool:
        return any(each["dispatched_at"] for each in rows(admin, "/reservations"))

    wait_until(is_sent, "the job runs")
    for query, count in (
        *((each, 1) for each in ("?user=mia", "?team=a&model=openai/gpt-image-2", "?since=2026-01-01&account=main")),
        *((each, 0) for each in ("?user=otto", "?team=b", "?until=2026-01-01", "?operation=edit")),
        *((f"?key={key.split('-')[2]}", count) for key, count in ((mia, 1), (otto, 0))),
    ):
        assert len(rows(admin, f"/reservations{query}")) == count, query
    wait_until(lambda: not rows(admin, "/jobs?status=in_progress"), "the job has ended")
    for who, seen in (("user=mia", {"mia"}), ("team=b", {"otto"}), (f"key={otto.split('-')[2]}", {"otto"})):
        assert {each["user"] for each in rows(admin, f"/requests?{who}")} == seen
    assert rows(admin, "/requests?user=nobody") == rows(everybody[Role.LEAD], "/requests?user=otto") == []
    for path in ("/teams", "/users", "/keys", "/changes", "/requests", "/jobs", "/files"):
        every = rows(admin, path)
        assert every, path
        assert rows(admin, f"{path}?since=2026-01-01&until=2199-01-01") == every
        assert rows(admin, f"{path}?until=2026-01-01") == rows(admin, f"{path}?since=2199-01-01") == [], path
    assert admin.get("/requests?user_id=mia").json()["error"]["code"] == "unknown_parameter"
    assert_bill_is_ledger(admin.gateway, sandbox, 3)


def test_a_foreign_id_to_go_on_after_is_as_one_that_is_not_there(
    admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]
) -> None:
    foreign = buy(admin, admin.key_of("otto")).headers["x-request-id"]
    admin.gateway.store.settled(1)
    assert admin.get(f"/requests?after={foreign}").status_code == 200
    for role in (Role.LEAD, Role.MEMBER):
        answers = [everybody[role].get(f"/requests?after={each}") for each in (foreign, "nothing")]
        assert [each.status_code for each in answers] == [400, 400]
        assert answers[0].json() == answers[1].json()
    assert_bill_is_ledger(admin.gateway, sandbox, 1)
