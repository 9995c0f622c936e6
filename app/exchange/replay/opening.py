"""Makes the parts of this folder, with the database behind them."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from sqlalchemy import Engine

from app.database.clock import to_ms
from app.database.gateway_secrets import SECRET_BYTES, secret
from app.database.readers import Readers
from app.exchange.in_flight import Exchanges
from app.exchange.replay.kept import KeptAnswers
from app.exchange.replay.records import AttemptRecords, Remembering
from app.exchange.replay.replays import KeepPolicy, Replays
from app.exchange.replay.rules import JoinPolicy
from app.files.store.store import FileStore
from app.quotas.ledger.attempts.finding import FoundAttempt, WantedAttempt, find_attempts, is_anything_left
from app.quotas.ledger.attempts.questions import Questions

_SECRET_NAME = "fingerprints"  # noqa: S105 - its name
_AT_A_TIME = 2  # of the pool's 10 connections
_WAIT_SECONDS = 10.0


class ReplayChoices(Protocol):
    """The settings that are needed here, with the names of app/settings/."""

    @property
    def join_retries(self) -> bool: ...
    @property
    def join_abandoned_seconds(self) -> float: ...
    @property
    def replay_seconds(self) -> int: ...
    @property
    def keeps_all_answers(self) -> bool: ...


async def open_replays(
    engine: Engine,
    exchanges: Exchanges,
    files: FileStore,
    choices: ReplayChoices,
    instance: str,
    count: Callable[[str], None],
) -> Replays:
    """For the process `instance`. Raises StoreUnavailable."""
    now = exchanges.clock()
    now_ms, abandoned_ms = to_ms(now), round(choices.join_abandoned_seconds * 1000)
    random_bytes = secrets.token_bytes(SECRET_BYTES)
    shared_secret = await asyncio.to_thread(secret, engine, _SECRET_NAME, random_bytes, now)
    is_left = await asyncio.to_thread(is_anything_left, engine, now_ms - abandoned_ms)
    readers = Readers(_AT_A_TIME, "attempts")

    async def find_all(wanted: Sequence[WantedAttempt]) -> list[list[FoundAttempt]]:
        return await readers.run(partial(find_attempts, engine, wanted), _WAIT_SECONDS)

    remembering = Remembering(
        find=Questions(find_all, exchanges.tasks.start, _WAIT_SECONDS).find,
        instance=instance,
        is_shared=engine.dialect.name != "sqlite",
        left_until_ms=now_ms + abandoned_ms if is_left else 0,
    )
    join = JoinPolicy(choices.join_retries, abandoned_ms)
    records = AttemptRecords(exchanges.ledger, remembering, join, exchanges.clock)
    policy = KeepPolicy(choices.replay_seconds, choices.keeps_all_answers)
    return Replays(exchanges, KeptAnswers(files), records, policy, count, secret=shared_secret)
