"""What tests of the ledger are made of: holds, settlements, limits, a clock that stands still, a running ledger."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from app.database.changes import Change
from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.schema import ledger_tables, limit_tables, total_tables
from app.images.cost.usage import Usage
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.spool.file import Spool
from app.quotas.limits.manage import remove_limit, set_limit
from app.quotas.reports.audit import Finding, Severity, audit
from app.quotas.reports.records import days_of_hours, hours_of_records
from app.quotas.reports.retention import prune
from app.quotas.reports.usage import Grouping, UsageRow, usage_report
from app.quotas.rules.applicable import Party
from app.quotas.rules.limits import Limit, Scope, Window, parse_limit
from app.quotas.rules.reservation import Amounts, Hold, Settlement, State, UsageSource
from app.quotas.rules.windows import span_ms

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)  # a Tuesday
MODEL = "openai/gpt-image-2"
PARTY = Party("key-1", "user-1", "team-1", MODEL, "main")


@dataclass
class StillClock:
    """A clock that moves when a test says so."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> datetime:
        self.now += timedelta(**parts)
        return self.now


def a_hold(id_: str = "r1", *, at: datetime = NOON, **fields: Any) -> Hold:
    """One image at $0.10 by key-1 of user-1 of team-1; `images`, `tokens`, `nanousd` change the amounts."""
    amounts = Amounts(1, fields.pop("images", 1), fields.pop("tokens", 1000), fields.pop("nanousd", 100_000_000))
    made = Hold(
        id=id_,
        key_id="key-1",
        user_id="user-1",
        team_id="team-1",
        operation="generation",
        model=MODEL,
        size="1024x1024",
        quality="high",
        streamed=False,
        amounts=amounts,
        reserved_at=at,
        expires_at=at + timedelta(minutes=20),
    )
    return made._replace(**fields)


def settled(at: datetime = NOON, **fields: Any) -> Settlement:
    """One image for $0.08, as reported; `images`, `tokens`, `nanousd` change what is charged."""
    charged = Amounts(1, fields.pop("images", 1), fields.pop("tokens", 800), fields.pop("nanousd", 80_000_000))
    made = Settlement(
        state=State.SETTLED,
        outcome="completed",
        usage_source=UsageSource.REPORTED,
        charged=charged,
        usage=Usage(50, 0, 0, 750),
        priced=True,
        client_left=False,
        upstream_status=200,
        upstream_request_id="up-1",
        first_byte_ms=1200,
        duration_ms=2500,
        resolved_at=at,
    )
    return made._replace(**fields)


def released(at: datetime = NOON) -> Settlement:
    return settled(
        at,
        state=State.RELEASED,
        outcome="upstream_failed",
        usage_source=UsageSource.NONE,
        charged=Amounts(),
        usage=None,
        upstream_status=None,
        upstream_request_id=None,
    )


def refused(at: datetime = NOON) -> Settlement:
    """It was sent, and ZenMux refused it: one request, and nothing else."""
    return released(at)._replace(
        state=State.SETTLED, outcome="upstream_refused", charged=Amounts(requests=1), upstream_status=400
    )


def a_row(number: int, at: datetime, chance: random.Random) -> dict[str, Any]:
    """A reservation of any kind the ledger can leave, as a row; by one of three keys, for one of two models."""
    key = chance.randrange(3)
    row: dict[str, Any] = dict.fromkeys((column.name for column in ledger_tables.reservations.c), None) | {
        "id": f"row-{number}",
        "key_id": f"key-{key}",
        "user_id": f"user-{key % 2}",
        "team_id": chance.choice(("team-1", None)),
        "instance": "earlier",
        "account": "main",
        "operation": "generation",
        "model": chance.choice((MODEL, "openai/other")),
        "size": "1024x1024",
        "quality": "high",
        "streamed": chance.random() < 0.5,
        "state": chance.choice(
            ("pending", "settled", "settled", "estimated", "unpriced", "refused", "released", "expired")
        ),
        "reserved_at_ms": to_ms(at),
        "dispatched_at_ms": chance.choice((None, to_ms(at))),
        "expires_at_ms": to_ms(at + timedelta(minutes=20)),
        "held_images": chance.randrange(1, 5),
        "held_tokens": chance.randrange(10_000),
        "held_nanousd": chance.randrange(10**12),
    }
    if row["state"] == "pending":
        return row
    amounts = ("images", "tokens", "nanousd")
    free = row["state"] in ("released", "refused") or (row["state"] == "expired" and row["dispatched_at_ms"] is None)
    is_reported = row["state"] in ("settled", "unpriced")
    charged = {f"charged_{unit}": 0 if free else row[f"held_{unit}"] for unit in amounts}
    if is_reported:
        kinds = ("input_text", "input_image", "output_text", "output_image")
        charged = {f"charged_{unit}": chance.randrange(row[f"held_{unit}"] + 1) for unit in amounts}
        row |= {f"{kind}_tokens": chance.randrange(10_000) for kind in kinds}
    return (
        row
        | charged
        | {
            "state": row["state"] if row["state"] in ("released", "expired") else "settled",
            "resolved_at_ms": to_ms(at) + 30_000,
            "outcome": "completed",
            "usage_source": "none" if free else "reported" if is_reported else "estimated",
            "priced": None if row["state"] == "expired" else row["state"] != "unpriced" and chance.random() < 0.8,
            "charged_requests": 0 if free and row["state"] != "refused" else 1,
        }
    )


def add_rows(engine: Engine, count: int, first: datetime, last: datetime, seed: int = 7) -> None:
    """`count` reservations of every kind, made at moments between `first` and `last`."""
    chance = random.Random(seed)
    made = [a_row(number, first + chance.random() * (last - first), chance) for number in range(count)]
    with writing(engine) as connection:
        connection.execute(insert(ledger_tables.reservations), made)
        add_totals_up(connection)


def add_totals_up(connection: Connection) -> None:
    """The totals of rows that a test has written by itself, where nothing is pruned."""
    hours, days = total_tables.usage_hours, total_tables.usage_days
    for table, made in ((hours, hours_of_records()), (days, days_of_hours())):
        connection.execute(delete(table))
        connection.execute(insert(table).from_select([column.name for column in table.c], made))


def a_change(at: datetime = NOON) -> Change:
    ids = count(1)
    return Change(actor="tester", now=at, new_id=lambda: f"id{next(ids)}")


def on_key(written: str, key_id: str = "key-1", *, shadow: bool = False) -> Limit:
    return parse_limit(written).on(Scope.KEY, key_id, shadow=shadow)


def on_user(written: str, user_id: str = "user-1") -> Limit:
    return parse_limit(written).on(Scope.USER, user_id)


def on_team(written: str, team_id: str = "team-1") -> Limit:
    return parse_limit(written).on(Scope.TEAM, team_id)


def on_gateway(written: str) -> Limit:
    return parse_limit(written).on(Scope.GATEWAY)


def set_limits(engine: Engine, *limits: Limit) -> None:
    with writing(engine) as connection:
        for limit in limits:
            set_limit(connection, limit, change=a_change())


def remove_limits(engine: Engine, *limits: Limit) -> None:
    with writing(engine) as connection:
        for limit in limits:
            remove_limit(connection, limit, change=a_change())


@asynccontextmanager
async def running_ledger(
    engine: Engine, clock: StillClock | None = None, *, spool: Spool | None = None, **options: Any
) -> AsyncIterator[Ledger]:
    chosen: dict[str, Any] = {"instance": "one", "queue_max": 1000, "wait_seconds": 30.0, **options}
    ledger = Ledger(engine, clock or StillClock(), **chosen)
    await ledger.start(spool)
    try:
        yield ledger
    finally:
        await ledger.close()


async def sweep(engine: Engine, now: datetime) -> list[str]:
    """What a process that runs nothing itself closes at `now`: everything overdue, as nobody here has a heartbeat."""
    async with running_ledger(engine, StillClock(now), instance="sweeper") as sweeper:
        return await sweeper.expire(now)


def rows(engine: Engine) -> dict[str, dict[str, Any]]:
    """Every reservation by its id."""
    with reading(engine) as connection:
        return {row.id: dict(row._mapping) for row in connection.execute(select(ledger_tables.reservations))}


def states(engine: Engine) -> dict[str, str]:
    return {id_: row["state"] for id_, row in rows(engine).items()}


def counters(engine: Engine) -> dict[tuple[str, str, str, str], dict[str, int]]:
    """Counters by scope, id, model and window (there must be one of each), without their zeros."""
    with reading(engine) as connection:
        found = list(connection.execute(select(limit_tables.counters)).mappings())
    names = ("scope", "scope_id", "model", "window")
    amounts = {
        tuple(row[name] for name in names): {
            name: value for name, value in row.items() if value and name not in (*names, "window_start_ms")
        }
        for row in found
    }
    assert len(amounts) == len(found)
    return amounts


def events(engine: Engine) -> list[dict[str, Any]]:
    """Every threshold event, as they were written."""
    table = limit_tables.threshold_events
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]


def reports(engine: Engine) -> dict[Grouping, list[UsageRow]]:
    """The usage report by everything."""
    with reading(engine) as connection:
        return {by: list(usage_report(connection, by)) for by in Grouping}


def prune_all(engine: Engine, cutoff: datetime, records_max: int = 500) -> int:
    """Prunes everything before `cutoff`; returns how many records went."""
    return sum(step.records for step in prune(engine, cutoff, a_change(), records_max))


def errors(engine: Engine, now: datetime = NOON) -> list[Finding]:
    """What the audit holds to be wrong."""
    with reading(engine) as connection:
        return [finding for finding in audit(connection, now) if finding.severity is Severity.ERROR]


def window_start(window: Window, now: datetime) -> datetime:
    """The first moment of the window that `now` is in, in UTC. `total` and `now` began in 1970."""
    return from_ms(span_ms(window, to_ms(now))[0])
