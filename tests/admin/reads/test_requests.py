"""What runs, in this process and in others, and who sees it."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from app.admin.operator import Operator
from app.admin.reads.others import list_refusals
from app.admin.reads.requests import InFlight, Progress, RequestFilter, list_requests, show_request
from app.admin.teams import create_team
from app.admin.users import create_user
from app.database.clock import to_ms
from app.database.schema import ledger_tables
from app.database.schema.total_tables import refusal_hours
from app.errors import NotFound
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.quotas.reports.lists.refusals import WantedRefusals
from app.quotas.reports.lists.requests import WantedRequests
from tests.admin.conftest import NOW
from tests.cli.commands.test_ledger import OPEN
from tests.cli.commands.test_usage import reservation

PENDING = RequestFilter(WantedRequests(is_pending=True))


def here(request_id: str) -> Progress | None:
    return Progress("waiting", 5) if request_id == "req_1" else None


@pytest.fixture
def people(operator: Operator) -> dict[str, Operator]:
    """Each as the role. Lena and Mia are in the team a, Otto in b; each has a request that runs, and one refused."""
    found = {"aud": replace(operator, principal=Principal("key:k", Role.AUDITOR))}
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for name, team, role in (("lena", "a", Role.LEAD), ("mia", "a", Role.MEMBER), ("otto", "b", Role.MEMBER)):
        if name != "mia":
            create_team(operator, team)
        user = create_user(operator, name, team=team).user
        found[name] = replace(operator, principal=Principal(f"key:{name}", role, user.id, user.team_id, name))
        runs = OPEN | {"state": "pending", "user_id": user.id, "team_id": user.team_id}
        rows.append(reservation(len(rows) + 1, NOW, **runs))
        refused.append({"hour_start_ms": to_ms(NOW), "user_id": user.id, "key_id": name, "code": "c", "count": 1})
    with operator.writing() as connection:
        connection.execute(insert(ledger_tables.reservations), rows)
        connection.execute(insert(refusal_hours), refused)
    return found


@pytest.mark.parametrize(
    ("who", "names"), [("aud", "lena mia otto"), ("lena", "lena mia"), ("mia", "mia"), ("otto", "otto")]
)
def test_nobody_sees_more_of_what_runs_and_was_refused_than_the_role_reaches(
    people: dict[str, Operator], who: str, names: str
) -> None:
    seen = list_requests(people[who], PENDING).rows
    assert [row["user"] for row in seen] == names.split()
    day = WantedRefusals(NOW, NOW.replace(hour=23))
    assert sorted(row["user"] for row in list_refusals(people[who], day, None, 100).rows) == names.split()
    for number, name in enumerate(("lena", "mia", "otto"), 1):
        if name in names:
            assert show_request(people[who], f"req_{number}")["user"] == name
            continue
        with pytest.raises(NotFound):
            show_request(people[who], f"req_{number}")
        asked = RequestFilter(WantedRequests((("user_id", name),), is_pending=True))
        assert list_requests(people[who], asked).rows == ()
        assert list_refusals(people[who], replace(day, values=(("user_id", name),)), None, 100).rows == ()


@pytest.mark.parametrize("show", [list_requests, None])
def test_what_another_process_runs_is_named_and_one_that_is_dead_is_told(operator: Operator, show: object) -> None:
    processes = ("this", "other", "dead")
    for name in processes:
        Heartbeat(operator.engine, name, 60, lambda: 0.0).beat()
    Heartbeat(operator.engine, "dead", 60, lambda: 0.0).stop()
    runs = OPEN | {"state": "pending"}
    rows = [reservation(number, NOW, instance=name, **runs) for number, name in enumerate(processes, 1)]
    with operator.writing() as connection:
        connection.execute(insert(ledger_tables.reservations), rows)
    in_flight: InFlight = here
    if show is None:
        found = [show_request(operator, f"req_{number}", in_flight) for number in (1, 2, 3)]
    else:
        found = list(list_requests(operator, PENDING, in_flight).rows)
    told = [(row["process"], row["process_is_alive"], row["phase"], row["sent_bytes"]) for row in found]
    assert told == [("this", True, "waiting", 5), ("other", True, None, None), ("dead", False, None, None)]
