"""Databases as earlier versions of the gateway left them: a dump for each schema and engine, rows in every table.

A change of the schema begins with the dump of the one before: `python -m tests.database.old_stores` makes a database
with today's code, lives in it for some months, and writes it down for both engines.
"""

import asyncio
import re
import sqlite3
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, insert

from app.database import migrate, migrations
from app.database.changes import Change
from app.database.clock import to_ms
from app.database.engine import create_engine, writing
from app.database.gateway_secrets import secret
from app.database.schema.account_tables import account_states
from app.database.schema.replay_tables import attempts
from app.database.schema.total_tables import refusal_hours
from app.exchange.jobs.rules import Job, JobState
from app.exchange.jobs.table import JobTable
from app.files.store.index import Index, Kind, Owner, StoredFile
from app.identity.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint
from app.identity.keys.keys import NewKey, create_key, rotate_key
from app.identity.people.teams import create_team
from app.identity.people.users import create_user, set_user_disabled
from app.identity.providers.identities import Identity, add_identity
from app.identity.sessions.links import LoginLink, make_link
from app.identity.sessions.sessions import NewSession, SessionBounds, open_session
from app.quotas.ledger.attempts.rows import AttemptRow
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.quotas.limits.manage import copy_defaults, set_limit
from app.quotas.reports.reconcile_day import Tally, compare_day
from app.quotas.reports.reconciliations import keep
from app.quotas.rules.limits import Limit, Scope, parse_limit
from app.quotas.rules.reservation import Hold, UsageSource
from app.quotas.rules.thresholds import Watch
from tests.quotas.making import MODEL, NOON, StillClock, a_hold, prune_all, released, running_ledger, settled, sweep
from tests.stores import PostgresqlServer

FOLDER = Path(__file__).parent / "fixtures"
KEY_ID = mint(bytes([1]) * PUBLIC_ID_BYTES, bytes(SECRET_BYTES)).id
_NOISE = re.compile(r"--|\\|SET |SELECT pg_catalog\.set_config")  # of pg_dump: remarks, psql's commands, the session


def dump_of(version: str, kind: str) -> Path:
    return FOLDER / f"schema_{version}.{kind}.sql"


def restore(engine: Engine, version: str) -> None:
    """Makes an empty database one of that version."""
    script = dump_of(version, engine.dialect.name).read_text(encoding="utf-8")
    connection = engine.raw_connection()
    try:
        if engine.dialect.name == "sqlite":
            # A dump names tables before those they refer to.
            script = f"PRAGMA foreign_keys = OFF; {script} PRAGMA foreign_keys = ON;"
            connection.driver_connection.executescript(script)  # type: ignore[union-attr]
        else:
            connection.driver_connection.execute(script)  # type: ignore[union-attr]
            connection.commit()
    finally:
        connection.close()


def add_people(engine: Engine) -> None:
    """alice, of a team, with a key that was rotated; bob, who is disabled; limits of every scope."""
    names = iter(("design", "alice", "bob"))
    change = Change("cli:root", NOON - timedelta(days=100), lambda: next(names))
    first, second = (mint(bytes([1]) * PUBLIC_ID_BYTES, bytes([number]) * SECRET_BYTES) for number in (1, 2))
    limits: list[Limit] = [
        parse_limit("images:100/day").on(Scope.DEFAULT),
        parse_limit("usd:1000/total").on(Scope.GATEWAY),
        parse_limit("usd:5.5/month@openai/gpt-image-2").on(Scope.TEAM, "team_design"),
        parse_limit("requests:50/hour").on(Scope.KEY, KEY_ID),
        parse_limit("concurrent:2").on(Scope.USER, "user_alice", shadow=True),
    ]
    with writing(engine) as connection:
        for limit in limits:
            set_limit(connection, limit, change=change)
        team = create_team(connection, "design", change=change)
        for name in ("alice", "bob"):  # bob is the one who leaves
            user = create_user(connection, name, team=team if name == "alice" else None, change=change)
            copy_defaults(connection, user.id, change)
        set_user_disabled(connection, user, disabled=True, change=change)
        new = NewKey("user_alice", "laptop", ("openai/gpt-image-2",), NOON + timedelta(days=300))
        create_key(connection, new, first, change=change)
        rotate_key(connection, KEY_ID, second, timedelta(days=1), change=change)


async def add_requests(engine: Engine) -> None:
    """Of every ending, in three months; the last one still runs."""
    clock = StillClock()

    def hold(number: int) -> Hold:
        at = clock.now = NOON - timedelta(days=80) + number * timedelta(days=9)
        whose = {"key_id": KEY_ID, "user_id": "user_alice", "team_id": "team_design"}
        return a_hold(f"req_{number}", at=at, **whose, images=2, fingerprint="f" * 64)

    async with running_ledger(engine, clock, watch=Watch((2,), webhook=True)) as ledger:
        for number in range(9):
            await ledger.reserve(hold(number))
            if number != 7:
                await ledger.mark_dispatched(f"req_{number}", clock.now)
        clock.now = NOON - timedelta(days=11)  # the sweep below deletes older events of thresholds
        endings = [
            settled(clock.now, images=2),
            settled(clock.now, upstream_request_id="up-2"),
            settled(clock.now, nanousd=1_234_567_891, upstream_request_id="up-3"),
            settled(clock.now, usage_source=UsageSource.ESTIMATED, usage=None, client_left=True),
            settled(clock.now, priced=False, upstream_request_id="up-5"),
            released(clock.now),
        ]
        for number, ending in enumerate(endings):
            await ledger.resolve(f"req_{number}", ending)
        await sweep(engine, NOON - timedelta(days=10))  # req_6, as an estimate, and req_7, which was never sent
        await ledger.resolve("req_6", settled(clock.now))  # its own process says how it ended


def look_back(engine: Engine) -> None:
    """The first day's record becomes a daily total, and that day was compared with the bill."""
    day = (NOON - timedelta(days=80)).date()
    prune_all(engine, NOON.replace(hour=0, minute=0, second=0) - timedelta(days=79))
    with writing(engine) as connection:
        keep(connection, compare_day(connection, day, [(MODEL, Tally(1, 80_000_000))], lambda name: name), NOON)


def add_files(engine: Engine) -> None:
    """One image that is kept, the secret its link is signed with, and a job."""
    secret(engine, "file-links", bytes(range(SECRET_BYTES)), NOON)
    owner, hour = Owner(KEY_ID, "user_alice"), timedelta(hours=1)
    job = Job(
        id="job_1",
        request_id="req_1",
        key_id=owner.key_id,
        user_id=owner.user_id,
        operation="generation",
        model="gpt-image-2",
        state=JobState.IN_PROGRESS,
        created_at_ms=to_ms(NOON),
        expires_at_ms=to_ms(NOON + hour),
    )
    JobTable(engine, 10).add(job, to_ms(NOON))
    Index(engine).add(StoredFile("0" * 32, Kind.IMAGE, owner, "req_1", 1000, "image/png", NOON, NOON + hour))


def add_attempts(engine: Engine) -> None:
    """One answer that is kept for an Idempotency-Key."""
    row = AttemptRow("req_2", KEY_ID, "generation", "k" * 64, "f" * 64, "one", "kept", "0" * 32, None, to_ms(NOON))
    with writing(engine) as connection:
        connection.execute(insert(attempts).values(**row._asdict()))


def add_sessions(engine: Engine) -> None:
    """Somebody who is signed in, and a link that was not used."""
    change = Change("user:alice", NOON, lambda: "alice")
    with writing(engine) as connection:
        bounds = SessionBounds(timedelta(hours=8), timedelta(days=7))
        open_session(connection, NewSession("user_alice", None, "link", "Browser/1"), bytes(32), bounds, change=change)
        make_link(connection, LoginLink("user_alice", "alice", "admin", is_direct=False), bytes(32), change=change)
        person = Identity("https://id.example.com", "subject", "user_alice", is_followed=False)
        add_identity(connection, person, change=change)


def add_states_and_refusals(engine: Engine) -> None:
    """An account as a process saw it, and an hour with refusals."""
    state = {"account": "main", "instance": "0123456789abcdef", "state": "up", "at_ms": to_ms(NOON)}
    hour = {"hour_start_ms": to_ms(NOON.replace(minute=0, second=0)), "user_id": "user-1", "key_id": "key-1"}
    with writing(engine) as connection:
        connection.execute(insert(account_states).values(**state))
        connection.execute(insert(refusal_hours).values(**hour, code="insufficient_quota", count=2))


def make(engine: Engine) -> None:
    """Lives in a database of today's schema."""
    add_people(engine)
    add_files(engine)
    add_attempts(engine)
    add_sessions(engine)
    add_states_and_refusals(engine)
    asyncio.run(add_requests(engine))
    Heartbeat(engine, "one", 10, lambda: 0.0, lambda _: to_ms(NOON)).beat()
    look_back(engine)
    engine.dispose()


def main() -> None:
    """Writes today's dumps."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.db"
        engine = create_engine(f"sqlite:///{file}")
        migrate.upgrade(engine)
        make(engine)
        lines = sqlite3.connect(file).iterdump()
        dump_of(migrations.HEAD, "sqlite").write_text("\n".join(lines) + "\n", encoding="utf-8")
    server = PostgresqlServer()
    try:
        url = server.create()
        engine = create_engine(url)
        migrate.upgrade(engine)
        make(engine)
        pg_dump = [str(server.programs / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", url]
        dump = subprocess.run(pg_dump, check=True, capture_output=True, text=True).stdout
        lines = (line for line in dump.splitlines() if line and not _NOISE.match(line))
        dump_of(migrations.HEAD, "postgresql").write_text("\n".join(lines) + "\n", encoding="utf-8")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
