"""A store that fails, or stands still, when a test says so. Behind it is the real one."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.quotas.ledger.execute import Writes
from app.quotas.ledger.store import Store
from app.quotas.rules.counters import Counter, CounterKey

_ODDS = 0.05


class Trouble:
    """What goes wrong with every store that a writer makes."""

    def __init__(self) -> None:
        self.error: Callable[[], Exception] = lambda: RuntimeError("no error was chosen")
        self.times = {"connect": 0, "begin": 0, "write": 0, "commit": 0, "answer": 0}
        self.began = threading.Event()
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.gone_when_dispatching = False  # set: the store goes away when it is to note that a request is sent
        self.chance: random.Random | None = None  # set: everything may fail

    def fail(self, where: str, times: int = 1) -> None:
        """At `connect`, `begin`, `write`, `commit` (nothing is committed) or `answer` (it is, but nobody is told)."""
        self.times[where] = times

    def strike(self, where: str) -> None:
        if self.times[where]:
            self.times[where] -= 1
            raise self.error()
        if self.chance is not None and self.chance.random() < _ODDS:
            raise self.error()

    def hold_back(self) -> None:
        """Lets no transaction begin until `may_begin` is set; `began` is set when one wants to."""
        self.may_begin.clear()
        self.began.clear()


def install(monkeypatch: pytest.MonkeyPatch, dbapi: Any) -> Trouble:
    """Every writer made from here on has this trouble."""
    trouble = Trouble()
    trouble.error = lambda: dbapi.OperationalError("the server has gone away")

    class TroubledStore(Store):
        def __init__(self, connection: Any, dialect: str) -> None:
            trouble.strike("connect")
            super().__init__(connection, dialect)

        def begin(self) -> int:
            trouble.began.set()
            assert trouble.may_begin.wait(30)
            trouble.strike("begin")
            return super().begin()

        def write(self, writes: Writes, counters: dict[CounterKey, Counter]) -> None:
            if writes.dispatched and trouble.gone_when_dispatching:
                trouble.fail("begin", 10**9)
                raise trouble.error()
            super().write(writes, counters)
            trouble.strike("write")

        def commit(self) -> None:
            trouble.strike("commit")
            super().commit()
            trouble.strike("answer")

    monkeypatch.setattr("app.quotas.ledger.writer.Store", TroubledStore)
    return trouble
