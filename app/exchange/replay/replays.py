"""Every request comes through here before it buys: it runs its exchange, or has the answer that another one bought."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from app.errors import ClientLeft, GatewayError, IdempotencyInProgress, IdempotencyKeyReused, IdempotencyKeyTaken
from app.exchange.exchange import Exchange
from app.exchange.in_flight import Exchanges
from app.exchange.replay.answering import Answering, NothingBought, answer_not_kept, failure_head
from app.exchange.replay.attempts import Attempt
from app.exchange.replay.fingerprint import fingerprint, key_digest
from app.exchange.replay.keeping import KeepingDownstream, ReceivingDownstream
from app.exchange.replay.kept import KeptAnswers, KeptHead
from app.exchange.replay.records import AttemptRecords
from app.exchange.replay.rules import RETRY_MS, Action, Ask, AttemptState, ReplayDecision
from app.files.store.index import Owner
from app.files.store.writer import FileWriter
from app.images.request.normalize import ImageRequest
from app.quotas.ledger.attempts.rows import AttemptRow
from app.telemetry.event import Outcome, RequestEvent

_DECISIONS_MAX = 10
_SHORT_SECONDS = 2 * RETRY_MS / 1000  # how long an answer is kept that nobody asked to keep


class KeepPolicy(NamedTuple):
    """How long answers are kept that have an Idempotency-Key; and whether every answer is kept, so that one that was
    cut can be had again."""

    replay_seconds: float
    is_always: bool


class Incoming(NamedTuple):
    """A request on its way. `downstream` is its caller."""

    ask: Ask
    user_id: str
    event: RequestEvent
    downstream: ReceivingDownstream


class Replays:
    """`count` counts the requests that were answered with what others bought."""

    def __init__(
        self,
        exchanges: Exchanges,
        kept: KeptAnswers,
        records: AttemptRecords,
        policy: KeepPolicy,
        count: Callable[[str], None] = lambda _: None,
        *,
        secret: bytes,
    ) -> None:
        self.exchanges = exchanges
        self._secret = secret
        self.kept = kept
        self.records = records
        self.policy = policy
        self._count = count

    def ask(
        self, key_id: str, request: ImageRequest, document: bytes, idempotency_key: str | None, retry_count: int
    ) -> Ask:
        """The request as the rules know it. `document` is what goes upstream, or what stands for it."""
        secret = self._secret
        return Ask(
            key_id,
            request.operation,
            fingerprint(secret, request.operation, request.response_format, document),
            None if idempotency_key is None else key_digest(secret, idempotency_key),
            retry_count,
        )

    async def serve(self, incoming: Incoming, new_exchange: Callable[[RequestEvent], Exchange]) -> None:
        """Answers the request; `new_exchange` makes what buys. Raises GatewayError only if nothing was sent."""
        for _ in range(_DECISIONS_MAX):
            now_ms = self.records.now_ms()
            decision, row = await self.records.decide(incoming.ask, now_ms)
            if decision.known is None:
                is_done = await self._buy(incoming, new_exchange(incoming.event), now_ms)
            else:
                is_done = await self._answer(decision, decision.known.request_id, row, incoming)
            if is_done:
                return
        raise IdempotencyInProgress("The same request is being answered. Send it again shortly.")

    async def _answer(
        self, decision: ReplayDecision, request_id: str, row: AttemptRow | None, incoming: Incoming
    ) -> bool:
        """False: what was decided is not so any more."""
        self.refuse(decision)
        attempt, is_takeover = self.records.here.find(request_id), decision.is_takeover
        if is_takeover and not await self.records.take(attempt, row):
            return False
        answering = Answering(self.exchanges, self.kept, incoming.user_id, incoming.downstream)
        is_running = attempt is not None and attempt.state is AttemptState.RUNNING
        try:
            if attempt is not None:
                await answering.with_attempt(attempt)
            elif decision.action is Action.REPLAY and row is not None and row.file_id is not None:
                await answering.with_file(row.file_id, request_id)
            else:
                await answering.with_loss(request_id)
        except NothingBought:
            return False
        finally:
            is_delivered = incoming.downstream.delivered
            if attempt is not None:
                await self.records.answered(attempt, is_takeover=is_takeover, is_delivered=is_delivered)
            elif is_takeover and row is not None:
                await self.records.answered_from_row(row, is_delivered=is_delivered)
        event = incoming.event
        event.replay = "taken_over" if is_takeover else "joined" if is_running else "replayed"
        event.replay_of, event.outcome = request_id, Outcome.REPLAYED
        if answering.is_lost:
            event.error_code = event.replay = "answer_lost"
        if is_delivered:
            self._count(event.replay)
        return True

    def refuse(self, decision: ReplayDecision) -> None:
        """Raises IdempotencyInProgress or IdempotencyKeyReused, if that is what was decided."""
        if decision.action is Action.IN_PROGRESS and decision.known is not None:
            self._count("in_progress")
            raise IdempotencyInProgress(
                f"The same request is running as {decision.known.request_id} in another process. Send it again in a "
                "while: it is then answered with what that one bought."
            )
        if decision.action is Action.REUSED:
            self._count("key_reuse")
            raise IdempotencyKeyReused(
                "This Idempotency-Key was sent with another request. Use a new key for each request, and the same one "
                "only to send the same request again."
            )

    def _buy(self, incoming: Incoming, exchange: Exchange, now_ms: int) -> Awaitable[bool]:
        is_keyed = incoming.ask.idempotency_key is not None
        seconds = self.policy.replay_seconds if is_keyed else _SHORT_SECONDS
        attempt = self.begin(incoming.ask, incoming.event.request_id, seconds, now_ms)
        return self.run(attempt, incoming, exchange, is_kept=is_keyed or self.policy.is_always)

    def begin(self, ask: Ask, request_id: str, seconds: float, now_ms: int) -> Attempt:
        """The attempt that `run` makes. With an Idempotency-Key others find it from now on."""
        attempt = Attempt(ask, request_id, now_ms + round(seconds * 1000))
        if ask.idempotency_key is not None:
            self.records.here.add(attempt, now_ms)
        return attempt

    async def run(
        self, attempt: Attempt, incoming: Incoming, exchange: Exchange, *, is_kept: bool, is_file_first: bool = False
    ) -> bool:
        """Buys. `is_kept`: the answer is kept from its first byte; `is_file_first`: nothing is bought where no file can
        be made for it. False: another request has its Idempotency-Key since a moment ago. Raises GatewayError only if
        nothing was sent."""
        ask, event, records = incoming.ask, incoming.event, self.records
        owner = Owner(ask.key_id, incoming.user_id)
        first: FileWriter | None = None

        async def make_file(head: KeptHead) -> FileWriter:
            nonlocal first
            draft, first = first, None
            return await self.kept.create(head, owner, event.request_id, records.seconds_left(attempt), draft)

        keeping = KeepingDownstream(
            incoming.downstream,
            make_file,
            self.exchanges.error_event,
            attempt,
            on_left=lambda: self._note_left(attempt, keeping),
            is_kept=is_kept,
        )
        error: GatewayError | None = None
        try:
            row = records.row(attempt) if ask.idempotency_key is not None else None
            if is_file_first:
                first = await self.kept.draft(owner, event.request_id)
            await exchange.run(keeping, ask.fingerprint, row)
        except IdempotencyKeyTaken:
            records.forget(attempt)
            return False
        except GatewayError as raised:
            error = raised
            raise
        finally:
            keeping.close()
            if first is not None:  # it was not needed
                await first.abort()
            if attempt.state is AttemptState.RUNNING or attempt.undelivered_at_ms is not None:
                await self._ended(attempt, keeping, incoming, error or keeping.error)
            error = keeping.error = None  # break the cycle error → traceback → frame → error
        return True

    def _note_left(self, attempt: Attempt, keeping: KeepingDownstream) -> None:
        """Its caller is gone, or was told that the gateway stops, while it ran."""
        if attempt.undelivered_at_ms is not None or keeping.inner.delivered:
            return
        records = self.records
        attempt.undelivered_at_ms = now_ms = records.now_ms()
        if keeping.has_body and keeping.file is None:
            attempt.end(AttemptState.LOST)
        records.here.add(attempt, now_ms)
        self.exchanges.tasks.start(records.put(records.row(attempt)), "note an undelivered attempt")

    async def _ended(
        self, attempt: Attempt, keeping: KeepingDownstream, incoming: Incoming, error: GatewayError | None
    ) -> None:
        """What can be had of an attempt, now that it has ended."""
        inner, file, event = keeping.inner, keeping.file, incoming.event
        if file is not None and not keeping.is_whole:
            await file.abort()
            file = None
        if attempt.is_over:  # a taker was faster with the last byte
            attempt.end(AttemptState.KEPT)
            return
        is_delivered = inner.delivered or (error is not None and not inner.left and not inner.started)
        if is_delivered and attempt.ask.idempotency_key is None and attempt.undelivered_at_ms is None:
            return  # nobody will ask for it again
        if not is_delivered and attempt.undelivered_at_ms is None:
            attempt.undelivered_at_ms = self.records.now_ms()
        attempt.is_free = event.state in (None, "released") or event.usage_source == "none"
        if file is not None:
            attempt.end(AttemptState.KEPT, file.id)
        elif error is not None and not isinstance(error, ClientLeft):
            attempt.failure = self.exchanges.error_response(error)
            attempt.end(AttemptState.KEPT, None if attempt.is_free else await self._keep_failure(attempt, incoming))
        elif not attempt.is_free:
            if keeping.loss is not None:
                attempt.failure = self.exchanges.error_response(answer_not_kept(attempt.request_id, keeping.loss))
            attempt.end(AttemptState.LOST)
        await self.records.remember(attempt, is_delivered=is_delivered)

    async def _keep_failure(self, attempt: Attempt, incoming: Incoming) -> str | None:
        """A failure that may have bought something is kept as answers are. Returns its file, if it could be written."""
        failure = attempt.failure
        assert failure is not None, "it failed"
        with suppress(GatewayError):
            owner, seconds = Owner(attempt.ask.key_id, incoming.user_id), self.records.seconds_left(attempt)
            file = await self.kept.create(failure_head(failure), owner, attempt.request_id, seconds)
            await file.write(bytes(failure.body))
            return (await file.commit()).id
        return None
