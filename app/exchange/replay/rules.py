"""What a request is answered with that may have been made before. Pure; docs/retries.md has the same in words.

With an `Idempotency-Key`, the key decides. Without one, a request takes over an attempt that is undelivered: whose
caller did not receive its last byte. What its caller still waits for, or has, is never taken over.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

RETRY_MS = 600_000
"""How long a retry that says so may take over an undelivered attempt."""


class AttemptState(StrEnum):
    """What can be had of an attempt."""

    RUNNING = "running"
    KEPT = "kept"  # its answer, or its failure, is kept
    LOST = "lost"  # it was or may have been bought, and there is no answer to give


class Action(StrEnum):
    """What is done with a request."""

    RUN = "run"  # nothing is known of it: it buys
    JOIN = "join"  # it is answered with an attempt that runs in this process
    REPLAY = "replay"  # it is answered with what is kept
    IN_PROGRESS = "in_progress"  # 409: it runs in another process
    LOST = "lost"  # 410
    REUSED = "reused"  # 422: another request has this key


class Ask(NamedTuple):
    """A request, as far as this matters. `retry_count` is what its SDK says; 0: nothing."""

    key_id: str
    operation: str
    fingerprint: str
    idempotency_key: str | None = None
    retry_count: int = 0


class Known(NamedTuple):
    """What is known of an earlier attempt of the same key and operation.

    `undelivered_at_ms` None: its caller is still connected, or has its answer. `is_taken`: another request takes it
    over now.
    """

    request_id: str
    fingerprint: str
    state: AttemptState
    is_here: bool
    expires_at_ms: int
    idempotency_key: str | None = None
    undelivered_at_ms: int | None = None
    is_taken: bool = False


class JoinPolicy(NamedTuple):
    """`is_on`: undelivered attempts are taken over at all. `abandoned_ms`: by requests that do not say that they are
    retries, for so long."""

    is_on: bool
    abandoned_ms: int


class ReplayDecision(NamedTuple):
    """What is done, and with which attempt. `is_takeover`: who receives the last byte ends that attempt."""

    action: Action
    known: Known | None = None
    is_takeover: bool = False


RUN = ReplayDecision(Action.RUN)
"""What is done with a request of which nothing is known."""


def decide(ask: Ask, known: Iterable[Known], now_ms: int, policy: JoinPolicy) -> ReplayDecision:
    """What `ask` is answered with, given everything `known` that may concern it."""
    if ask.idempotency_key is not None:
        return _by_key(ask, known, now_ms)
    takeable = [each for each in known if is_takeable(ask, each, now_ms, policy)]
    if not takeable:
        return RUN
    found = min(takeable, key=_rank)
    return ReplayDecision(_action(found), found, is_takeover=True)


def is_takeable(ask: Ask, known: Known, now_ms: int, policy: JoinPolicy) -> bool:
    """Whether `ask` may take over this attempt now."""
    if not policy.is_on or known.undelivered_at_ms is None or known.is_taken:
        return False
    if known.fingerprint != ask.fingerprint or known.idempotency_key is not None:
        return False
    window_ms = RETRY_MS if ask.retry_count > 0 else policy.abandoned_ms
    return now_ms - known.undelivered_at_ms < window_ms


def _by_key(ask: Ask, known: Iterable[Known], now_ms: int) -> ReplayDecision:
    for each in known:
        if each.idempotency_key != ask.idempotency_key:
            continue
        if each.state is not AttemptState.RUNNING and each.expires_at_ms <= now_ms:
            continue
        if each.fingerprint != ask.fingerprint:
            return ReplayDecision(Action.REUSED, each)
        return ReplayDecision(_action(each), each)
    return RUN


def _action(known: Known) -> Action:
    if known.state is AttemptState.RUNNING:
        return Action.JOIN if known.is_here else Action.IN_PROGRESS
    return Action.REPLAY if known.state is AttemptState.KEPT else Action.LOST


_PREFERRED = (Action.JOIN, Action.REPLAY, Action.LOST, Action.IN_PROGRESS)


def _rank(known: Known) -> tuple[int, int]:
    """What gives an answer comes first; among these what has waited longest."""
    return _PREFERRED.index(_action(known)), known.undelivered_at_ms or 0
