"""What all connections of one process share: bounds, one timer, the count of faults, and what sends files.

Decides nothing itself: deadlines.py judges, protocol.py acts.
"""

import asyncio
import errno
import logging
import os
from collections import Counter
from typing import Protocol

from app.server.http.bounds import Bounds, Fault, Hooks
from app.server.http.deadlines import ProgressWatch, Seen, Stage
from app.server.http.file_sending import FileSender

_TICK_SECONDS_MAX = 1.0
_TICKS_A_BOUND = 4
_LOG_SECONDS = 60.0
_ENDING_SECONDS = 2.0
_REFUSED_MAX = 32  # above the maximum, while they receive their refusal
# Above this share of the maximum, idle connections are closed soon, to make room.
_CROWDED = 0.9
_CROWDED_IDLE_SECONDS = 5.0

_logger = logging.getLogger("gateway.connections")


class CallerConnection(Protocol):
    """A connection that is watched."""

    def seen(self) -> Seen: ...
    def end(self, fault: Fault) -> None: ...
    def close(self) -> None: ...


class Connections:
    """The connections of one process. Make it before its loop runs."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.hooks = Hooks()
        self.files = FileSender()
        seconds = (bounds.head_seconds, bounds.body_idle_seconds, bounds.stall_seconds, bounds.idle_seconds)
        self._tick_seconds = min(_TICK_SECONDS_MAX, min(seconds) / _TICKS_A_BOUND)
        self._watches: dict[CallerConnection, ProgressWatch] = {}
        self._faults: Counter[Fault] = Counter()
        self._faults_logged_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: CallerConnection, loop: asyncio.AbstractEventLoop, hooks: Hooks) -> bool:
        """Whether the connection may stay. It is watched from now on. One above the maximum is watched while it is
        refused; if there are too many of those as well, it is closed. `hooks` are the same for all.
        """
        self.hooks = hooks
        excess = len(self._watches) - self.bounds.connections_max
        if excess >= 0:
            self.count(Fault.TOO_MANY, loop.time())
            if excess >= _REFUSED_MAX:
                connection.close()
                return False
        self._watches[connection] = ProgressWatch(loop.time())
        if self._timer is None:
            self._timer = loop.call_later(self._tick_seconds, self._tick, loop)
        return excess < 0

    def dismiss(self, connection: CallerConnection) -> None:
        """Stops watching a connection that has ended."""
        self._watches.pop(connection, None)

    def count(self, fault: Fault, now: float) -> None:
        """Counts the fault at once. Logs such faults at most once a minute."""
        self._faults[fault] += 1
        self.hooks.count(fault)
        self._log(now)

    def _log(self, now: float) -> None:
        if self._faults and now - self._faults_logged_at >= _LOG_SECONDS:
            self._faults_logged_at = now
            counts = {fault.value: count for fault, count in self._faults.items()}
            self._faults.clear()
            _logger.warning("connections_refused", extra=counts)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        is_crowded = len(self._watches) >= _CROWDED * self.bounds.connections_max
        idle_seconds = min(self.bounds.idle_seconds, _CROWDED_IDLE_SECONDS) if is_crowded else self.bounds.idle_seconds
        for connection, watch in list(self._watches.items()):
            seen = connection.seen()
            fault = watch.look(seen, now, self.bounds)
            if fault is not None:
                self.count(fault, now)
                connection.end(fault)
            elif watch.has_waited(seen, Stage.IDLE, now, idle_seconds) or watch.has_waited(
                seen, Stage.ENDING, now, _ENDING_SECONDS
            ):
                connection.close()
        self._log(now)
        self._check_descriptors(now)
        self.hooks.show_open(len(self._watches))
        self._timer = loop.call_later(self._tick_seconds, self._tick, loop) if self._watches else None

    def _check_descriptors(self, now: float) -> None:
        """Whether a connection could be accepted. The loop does not report it: it accepts and closes connections
        without a descriptor.
        """
        try:
            os.close(os.dup(0))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.count(Fault.NO_DESCRIPTORS, now)
