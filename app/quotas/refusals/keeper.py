"""Writes what a process has counted, every ten seconds and at its end. After a failure it tries again."""

import asyncio
import logging
from contextlib import suppress

from sqlalchemy import Engine

from app.database.readers import Readers
from app.errors import StoreUnavailable
from app.quotas.refusals.counts import RefusalCounts
from app.quotas.refusals.hours import add_refusals

FLUSH_SECONDS = 10.0
_WAIT_SECONDS = 5.0

logger = logging.getLogger("gateway")


class RefusalKeeper:
    """The writing of one process. For one event loop."""

    def __init__(self, engine: Engine, counts: RefusalCounts, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._engine = engine
        self._counts = counts
        self._flush_seconds = flush_seconds
        self._stopping = asyncio.Event()
        self._writers = Readers(1, "refusals")

    async def run(self) -> None:
        """Until `close`, with a last write after it."""
        is_last = False
        while not is_last:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._flush_seconds)
            is_last = self._stopping.is_set()
            await self.flush()

    async def close(self, running: asyncio.Task[None]) -> None:
        """Ends `running`. Takes as long as two writes at most."""
        self._stopping.set()
        await running

    async def flush(self) -> None:
        """Once. After a failure the counts stay. A write without an answer may be counted twice: better than lost."""
        taken = self._counts.take()
        try:
            if taken:
                await self._writers.run(lambda: add_refusals(self._engine, taken), _WAIT_SECONDS)
        except StoreUnavailable:
            self._counts.put_back(taken)
            logger.debug("refusals_not_written")
        if lost := self._counts.take_lost():
            logger.warning("refusals_not_counted", extra={"refusals": lost})
