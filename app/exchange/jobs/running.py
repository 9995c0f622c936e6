"""The jobs that this process runs, and what their submissions wait for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.exchange.exchange import Exchange
from app.exchange.jobs.rules import Job
from app.exchange.replay.attempts import Attempt
from app.exchange.replay.rules import Ask
from app.identity.keys.authentication import Caller
from app.quotas.ledger.attempts.rows import AttemptRow
from app.telemetry.event import RequestEvent


@dataclass(slots=True)
class NewJob:
    """A request that is to be a job. `event` is the job's own: it is recorded when the job ends. `new_exchange` makes
    what buys; `on_end` is awaited when nothing of the request is needed any more. `left` is done when the caller of the
    submission is gone."""

    caller: Caller
    event: RequestEvent
    model: str
    ask: Ask
    new_exchange: Callable[[], Exchange]
    on_end: Callable[[], Awaitable[None]]
    left: "asyncio.Future[None]"


class Taken(NamedTuple):
    """The attempt that a submission takes over, as far as this process knows it; nothing if it needs not."""

    attempt: Attempt | None = None
    row: AttemptRow | None = None


class Submission(NamedTuple):
    """What a submission is answered with. `is_new`: it made the job. `Jobs.answered` is to be told how it went."""

    job: Job
    is_new: bool
    taken: Taken


@dataclass(slots=True)
class RunningJob:
    """A job of this process. `is_sent`: it cannot be cancelled any more. `leave` has it end before that."""

    job: Job
    attempt: Attempt
    accepted: "asyncio.Future[Submission]"
    is_sent: Callable[[], bool]
    leave: Callable[[], None]
    is_answered: bool = False  # its submission got its answer
    is_listed: bool = False  # its row is written
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def cancel(self) -> bool:
        """Whether the job ends without being sent."""
        if self.is_sent():
            return False
        self.leave()
        return True
