"""Judges, once a tick, whether a connection has used up its time. Pure: the observed state and the time are arguments.

A connection has no timer and reads no clock. It counts received bytes and numbers its stages; a stage begins when it is
first seen here. So every bound is exact to one tick, and requests pay nothing for it.
"""

from enum import Enum
from typing import NamedTuple

from app.server.http.bounds import Bounds, Fault


class Stage(Enum):
    """What a connection waits for."""

    IDLE = "idle"  # the next request
    HEAD = "head"  # the rest of a request's line and headers
    BODY = "body"  # the rest of its body
    ANSWER = "answer"  # the app
    ENDING = "ending"  # the caller must receive the last answer and close; what it still sends is not read


class Seen(NamedTuple):
    """A connection at one moment. `turn` grows with each stage, `writable` each time its caller has received
    everything.

    `is_ours`: the wait is not for the caller, because an earlier request is being answered or the app reads slowly.
    """

    stage: Stage
    turn: int
    received: int
    unsent: int
    writable: int
    is_ours: bool


class ProgressWatch:
    """One connection over time."""

    __slots__ = ("_answer", "_answer_since", "_byte_since", "_received", "_stage_received", "_stage_since", "_turn")

    def __init__(self, now: float) -> None:
        self._turn = -1
        self._stage_since = self._byte_since = self._answer_since = now
        self._received = self._stage_received = 0
        self._answer = (0, 0)

    def look(self, seen: Seen, now: float, bounds: Bounds) -> Fault | None:
        """What is wrong with it now; None if nothing is. Call it once a tick; `has_waited` is right afterwards."""
        self._note(seen, now)
        if seen.unsent and now - self._answer_since >= bounds.stall_seconds:
            return Fault.ANSWER_STALLED
        if seen.stage is Stage.HEAD:
            return Fault.HEAD_LATE if now - self._stage_since >= bounds.head_seconds else None
        return self._judge_body(seen, now, bounds) if seen.stage is Stage.BODY else None

    def has_waited(self, seen: Seen, stage: Stage, now: float, seconds: float) -> bool:
        """Whether it has been in this stage for so long, and its caller has received everything."""
        return seen.stage is stage and not seen.unsent and now - self._stage_since >= seconds

    def _note(self, seen: Seen, now: float) -> None:
        if seen.turn != self._turn or seen.is_ours:
            self._turn = seen.turn
            self._stage_since = self._byte_since = now
            self._received = self._stage_received = seen.received
        elif seen.received != self._received:
            self._received, self._byte_since = seen.received, now
        if self._answer != (seen.unsent, seen.writable):
            self._answer, self._answer_since = (seen.unsent, seen.writable), now

    def _judge_body(self, seen: Seen, now: float, bounds: Bounds) -> Fault | None:
        if now - self._byte_since >= bounds.body_idle_seconds:
            return Fault.BODY_IDLE
        seconds = now - self._stage_since
        if seconds >= bounds.body_seconds_max:
            return Fault.BODY_LATE
        least = bounds.body_bytes_per_second_min * seconds
        if seconds >= bounds.body_idle_seconds and seen.received - self._stage_received < least:
            return Fault.BODY_SLOW
        return None
