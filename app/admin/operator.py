"""Who administers, on which database, by which clock: the first argument of every use case. Decides nothing."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from app.admin.access.expected import ANYTHING, Expected
from app.database import engine as transactions
from app.database.changes import Change, RecordedChange, changes_after, lock_changes, newest_change
from app.database.clock import Clock
from app.identity.people.principal import Principal

_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts, on what. `actor` is what the list of changes shows: `cli:<system user>`, `key:<id>`, `user:<name>`, ….

    `has_deadline`: a read on PostgreSQL ends after the engine's time for a statement. A person who types a command
    waits longer. `read_seconds_max` ends reads earlier, on both engines. `principal` None: a terminal on the server;
    whoever can open the database may do everything. `expected` is what there must be for a change to be made.
    `trial` None: changes are made. A list: they are not, and it gets what the list of changes would have got.
    """

    engine: Engine
    clock: Clock
    actor: str
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    has_deadline: bool = True
    read_seconds_max: float | None = None
    principal: Principal | None = None
    expected: Expected = ANYTHING
    trial: list[RecordedChange] | None = None

    @property
    def now(self) -> datetime:
        return self.clock()

    def change(self) -> Change:
        """Who makes a change, and when: now."""
        return Change(self.actor, self.clock(), lambda: self.random_bytes(_ID_BYTES).hex())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads. Raises StoreUnavailable."""
        with transactions.reading(
            self.engine, has_deadline=self.has_deadline, seconds_max=self.read_seconds_max
        ) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write: a whole use case, or nothing of it. Other changes wait for its end, so that
        what it reads stays true. Raises StoreUnavailable.
        """
        with transactions.writing(self.engine) as connection:
            lock_changes(connection)
            if self.trial is None:
                yield connection
                return
            newest = newest_change(connection)
            yield connection
            self.trial.extend(changes_after(connection, newest))
            connection.rollback()
