"""What is remembered of attempts: in this process, and in the database for other processes and for after a restart."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from app.database.clock import to_ms
from app.errors import StoreUnavailable
from app.exchange.replay.attempts import Attempt, Attempts
from app.exchange.replay.remembered import known_of
from app.exchange.replay.rules import (
    RETRY_MS,
    RUN,
    Action,
    Ask,
    AttemptState,
    JoinPolicy,
    Known,
    ReplayDecision,
    decide,
)
from app.quotas.ledger.attempts.finding import FoundAttempt, WantedAttempt
from app.quotas.ledger.attempts.rows import AttemptRow, ForgetAttempt, PutAttempt, TakeAttempt
from app.quotas.ledger.ledger import Ledger
from app.quotas.rules.reservation import Resolution


class Remembering(NamedTuple):
    """How the database is asked. `is_shared`: other processes write there. `left_until_ms`: until then an earlier
    process may have left what a request takes over that does not say that it is a retry.
    """

    find: Callable[[WantedAttempt], Awaitable[list[FoundAttempt]]]
    instance: str
    is_shared: bool
    left_until_ms: int


class AttemptRecords:
    """All attempts of one process, and the way to those of the others."""

    def __init__(
        self, ledger: Ledger, remembering: Remembering, join: JoinPolicy, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._remembering = remembering
        self._join = join
        self._clock = clock
        self.here = Attempts()

    def now_ms(self) -> int:
        return to_ms(self._clock())

    def seconds_left(self, attempt: Attempt) -> float:
        """Until the attempt is forgotten."""
        return max(1.0, (attempt.expires_at_ms - self.now_ms()) / 1000)

    async def decide(self, ask: Ask, now_ms: int) -> tuple[ReplayDecision, AttemptRow | None]:
        """What is done with a request, and the row of the attempt that this process knows from the database alone."""
        here = self.here.like(ask)
        decision = decide(ask, [each.known for each in here], now_ms, self._join) if here else RUN
        if decision.action is not Action.RUN or not self._may_be_elsewhere(ask, now_ms):
            return decision, None
        window_ms = RETRY_MS if ask.retry_count else self._join.abandoned_ms
        what = ask.key_id, ask.operation, ask.fingerprint, ask.idempotency_key
        wanted = WantedAttempt(*what, now_ms - window_ms, self._remembering.instance)
        rows: dict[str, AttemptRow] = {}
        known: list[Known] = []
        for found in await self._remembering.find(wanted):
            seen = known_of(found, now_ms, is_shared=self._remembering.is_shared)
            if seen is not None and self.here.find(found.row.request_id) is None:
                rows[found.row.request_id] = found.row
                known.append(seen)
        # Meanwhile another request may have begun here.
        known += [each.known for each in self.here.like(ask)]
        decision = decide(ask, known, now_ms, self._join)
        return decision, None if decision.known is None else rows.get(decision.known.request_id)

    def _may_be_elsewhere(self, ask: Ask, now_ms: int) -> bool:
        """Whether the database may know of an attempt that this process does not know."""
        if ask.idempotency_key is not None:
            return True
        if not self._join.is_on:
            return False
        is_asked = self._remembering.is_shared or now_ms < self._remembering.left_until_ms
        return ask.retry_count > 0 or (is_asked and self._join.abandoned_ms > 0)

    async def take(self, attempt: Attempt | None, row: AttemptRow | None) -> bool:
        """Whether one request alone takes over the attempt from now on. Raises StoreUnavailable."""
        if attempt is not None:
            attempt.is_taken = True
            if attempt.is_free:
                return True  # known to this process alone
            row = self.row(attempt)
        assert row is not None, "an attempt is known here, or from its row"
        expires_at_ms = max(row.expires_at_ms, self.now_ms() + 2 * RETRY_MS)
        try:
            taking = TakeAttempt(row._replace(expires_at_ms=expires_at_ms))
            is_mine = await self._ledger.keep_attempt(taking) is Resolution.DONE
        except BaseException:
            if attempt is not None:
                attempt.is_taken = False
            raise
        if attempt is None or is_mine or attempt.state is AttemptState.RUNNING:  # what runs here, nobody else takes
            return is_mine or attempt is not None
        self.here.remove(attempt)
        return False

    def offer(self, attempt: Attempt) -> None:
        """Whoever asked for it is being answered while it runs. `answered` says whether the answer came through."""
        attempt.undelivered_at_ms = now_ms = self.now_ms()
        attempt.is_taken = True
        self.here.add(attempt, now_ms)

    def release(self, attempt: Attempt) -> None:
        """Whoever is being answered with it is gone: it is undelivered from now on."""
        attempt.is_taken = False
        attempt.undelivered_at_ms = self.now_ms()

    async def answered(self, attempt: Attempt, *, is_takeover: bool, is_delivered: bool) -> None:
        """A request was answered with the attempt. Who received the last byte of a takeover ends it; else the attempt
        is undelivered again."""
        if is_takeover:
            attempt.is_taken = False
        if is_delivered and (is_takeover or attempt.is_free):
            attempt.is_over = is_takeover
            self.here.remove(attempt)
        elif is_takeover and self.here.find(attempt.request_id) is not None:
            self.release(attempt)
            if not attempt.is_free:
                await self.put(self.row(attempt))

    async def answered_from_row(self, row: AttemptRow, *, is_delivered: bool) -> None:
        """The same for a takeover of what only the database knows."""
        if not is_delivered:
            expires_at_ms = max(row.expires_at_ms, self.now_ms() + 2 * RETRY_MS)
            await self.put(row._replace(undelivered_at_ms=self.now_ms(), expires_at_ms=expires_at_ms))

    async def remember(self, attempt: Attempt, *, is_delivered: bool) -> None:
        """How an attempt ended that somebody may ask for again."""
        if not attempt.is_free:
            self.here.add(attempt, self.now_ms())
            await self.put(self.row(attempt))
            return
        with suppress(StoreUnavailable):  # its reservation says that nothing was bought
            await self._ledger.keep_attempt(ForgetAttempt(attempt.request_id))
        if is_delivered or attempt.failure is None:
            self.forget(attempt)
        else:
            self.here.add(attempt, self.now_ms())

    def forget(self, attempt: Attempt) -> None:
        """Nothing was bought: those who wait for it are new requests."""
        self.here.remove(attempt)
        attempt.end(AttemptState.KEPT)

    async def put(self, row: AttemptRow) -> None:
        with suppress(StoreUnavailable):  # this process knows it anyway
            await self._ledger.keep_attempt(PutAttempt(row))

    def row(self, attempt: Attempt) -> AttemptRow:
        ask = attempt.ask
        is_lost = attempt.state is AttemptState.KEPT and attempt.file_id is None
        return AttemptRow(
            attempt.request_id,
            ask.key_id,
            ask.operation,
            ask.idempotency_key,
            ask.fingerprint,
            self._remembering.instance,
            (AttemptState.LOST if is_lost else attempt.state).value,
            attempt.file_id,
            None if attempt.is_taken else attempt.undelivered_at_ms,
            attempt.expires_at_ms,
        )
