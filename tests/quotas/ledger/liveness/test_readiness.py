"""Whether the ledger can sell: what it wrote lately counts, else a write is tried, and nothing is left of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from app.database.engine import create_engine, reading, writing
from app.errors import StoreUnavailable
from app.quotas.ledger.ledger import Ledger
from tests.quotas.making import NOON


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Ledger]:
    ledger = Ledger(engine, lambda: NOON, instance="one", queue_max=100, wait_seconds=5)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        found: int = connection.execute(text("SELECT count(*) FROM reservations")).scalar_one()
        return found


async def test_a_write_is_tried_and_leaves_nothing(engine: Engine) -> None:
    async with running(engine) as ledger:
        await asyncio.gather(*(ledger.readiness.check(5) for _ in range(10)))
        await ledger.readiness.check(5)
        assert count(engine) == 0


def make_read_only(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: object, _: object) -> None:
        connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]


def drop_the_table(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE reservations RENAME TO lost"))


def damage(engine: Engine) -> None:
    """Overwrites every page but the first: the schema can be read, no table can."""
    path = Path(engine.url.database or "")
    engine.dispose()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


@pytest.mark.parametrize("break_", [make_read_only, drop_the_table, damage])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_cannot_be_written_on_sqlite_is_not_ready(store_url: str, break_: Callable[[Engine], None]) -> None:
    engine = create_engine(store_url)
    break_(engine)
    async with running(engine) as ledger:
        with pytest.raises(StoreUnavailable):
            await ledger.readiness.check(5)
    engine.dispose()


async def test_a_server_that_became_read_only_is_not_ready_and_later_is(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    name = engine.url.database
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()
    async with running(engine) as ledger:
        with pytest.raises(StoreUnavailable):
            await ledger.readiness.check(5)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        await ledger.readiness.check(5)
    engine.dispose()


def delete(store_url: str) -> None:
    Path(store_url.removeprefix("sqlite:///")).unlink()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_file_that_is_gone_is_noticed_at_once(store_url: str) -> None:
    engine = create_engine(store_url)
    async with running(engine) as ledger:
        await ledger.readiness.check(5)
        delete(store_url)
        with pytest.raises(StoreUnavailable):
            await ledger.readiness.check(5)
    engine.dispose()
