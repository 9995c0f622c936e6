"""Asks the database for many requests at once: what comes while one question is under way goes into the next."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from app.errors import StoreUnavailable
from app.quotas.ledger.attempts.finding import FoundAttempt, WantedAttempt

_TOGETHER_MAX = 100
_BUSY = "The gateway's database is busy; try again shortly."

_log = logging.getLogger("gateway")

Start = Callable[[Coroutine[Any, Any, None], str], object]
_Answer = asyncio.Future[list[FoundAttempt]]
FindAll = Callable[[Sequence[WantedAttempt]], Awaitable[list[list[FoundAttempt]]]]


class Questions:
    """`find_all` answers several at once, in their order, or raises for all of them. `start` starts a named task."""

    def __init__(self, find_all: FindAll, start: Start, wait_seconds: float) -> None:
        self._find_all = find_all
        self._start = start
        self._wait_seconds = wait_seconds
        self._waiting: list[tuple[WantedAttempt, _Answer]] = []
        self._is_asking = False

    async def find(self, wanted: WantedAttempt) -> list[FoundAttempt]:
        """What `find_all` finds for it, asked after this call. Raises StoreUnavailable, also if it takes too long."""
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if not self._is_asking:
            self._is_asking = True
            self._start(self._ask_all(), "find attempts")
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await answer
        except TimeoutError:
            raise StoreUnavailable(_BUSY) from None

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_TOGETHER_MAX], self._waiting[_TOGETHER_MAX:]
                await self._ask([each for each in asked if not each[1].done()])
        finally:
            self._is_asking = False

    async def _ask(self, asked: Sequence[tuple[WantedAttempt, _Answer]]) -> None:
        if not asked:
            return
        try:
            found = await self._find_all([wanted for wanted, _ in asked])
        except Exception as error:  # noqa: BLE001 - whoever waits is to be told
            if not isinstance(error, StoreUnavailable):
                _log.exception("fault")
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(StoreUnavailable(_BUSY))
            return
        for (_, answer), each in zip(asked, found, strict=True):
            if not answer.done():
                answer.set_result(each)
