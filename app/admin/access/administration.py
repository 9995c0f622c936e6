"""Runs use cases for the HTTP doors, beside the event loop and beside the images: threads and connections of its own,
so that no page and no poller can take those that requests need.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Engine

from app.admin.access.expected import ANYTHING, Expected
from app.admin.operator import Operator
from app.database.changes import RecordedChange
from app.database.clock import Clock
from app.database.engine import create_engine
from app.database.readers import Readers
from app.identity.people.principal import Principal

READ_SECONDS_MAX = 5.0
"""A read that takes longer is ended: asking for less helps, waiting does not."""
_READS_AT_A_TIME = 3
_WRITES_AT_A_TIME = 1  # they wait for each other in the database anyway
_WAIT_SECONDS = 15.0
_WRITE_SECONDS = 60.0  # longer than the database's own times, so that nobody is left without knowing

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Administration:
    """Calls use cases as somebody. For one event loop. `changed` is called after each change, `observe` with the
    seconds that each read took, its wait included.
    """

    engine: Engine
    clock: Clock
    readers: Readers
    writers: Readers
    changed: Callable[[], None]
    observe: Callable[[float], None]

    async def read(self, principal: Principal, use_case: Callable[[Operator], _T]) -> _T:
        """What a use case that only reads returns or raises. Raises StoreUnavailable if it takes too long."""
        operator = self._operator(principal)
        monotonic = asyncio.get_running_loop().time
        begun_at = monotonic()
        try:
            return await self.readers.run(lambda: use_case(operator), _WAIT_SECONDS)
        finally:
            self.observe(monotonic() - begun_at)

    async def change(
        self,
        principal: Principal,
        use_case: Callable[[Operator], _T],
        expected: Expected = ANYTHING,
        trial: list[RecordedChange] | None = None,
    ) -> _T:
        """The same for a use case that changes something; the last two are an Operator's."""
        operator = replace(self._operator(principal), expected=expected, trial=trial)
        try:
            return await self.writers.run(lambda: use_case(operator), _WRITE_SECONDS)
        finally:
            self.changed()

    def _operator(self, principal: Principal) -> Operator:
        return Operator(
            self.engine,
            self.clock,
            principal.actor,
            secrets.token_bytes,
            read_seconds_max=READ_SECONDS_MAX,
            principal=principal,
        )


def open_administration(
    database_url: str,
    clock: Clock,
    stack: AsyncExitStack,
    changed: Callable[[], None],
    observe: Callable[[float], None],
) -> Administration:
    """Opens its connections; `stack` closes them."""
    engine = create_engine(database_url, _READS_AT_A_TIME + _WRITES_AT_A_TIME)
    stack.callback(engine.dispose)
    readers = Readers(_READS_AT_A_TIME, "administration-reads")
    writers = Readers(_WRITES_AT_A_TIME, "administration-changes")
    return Administration(engine, clock, readers, writers, changed, observe)
