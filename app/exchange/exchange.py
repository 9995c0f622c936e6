"""One request's life, top to bottom: reserve, forward, relay and meter, settle. The only `finally` that settles.

It decides nothing itself: ending.py says what is charged. It knows the receiver of the answer only as a Downstream.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

from app.errors import ClientLeft, Draining, GatewayError, Interrupted, UpstreamError, UpstreamTimeout
from app.exchange.downstream import Downstream
from app.exchange.ending import Conclusion, Facts, conclude, note_conclusion
from app.exchange.hosted_answers import with_links
from app.exchange.hosting import ImageFiles, image_files
from app.exchange.in_flight import READ_ON_SECONDS, SETTLE_SECONDS_MAX, Exchanges, Place
from app.exchange.on_account import OnAccount
from app.exchange.relay import Relay, begin_early
from app.identity.keys.authentication import Caller
from app.images.cost.pricing import Estimate, estimate
from app.images.request.normalize import ImageRequest
from app.quotas.ledger.attempts.rows import AttemptRow
from app.quotas.ledger.commands import Reserved
from app.quotas.ledger.lease import Lease
from app.quotas.rules.reservation import Amounts, Hold, Resolution, Settlement
from app.telemetry.event import Outcome, RequestEvent
from app.upstream.response import UpstreamResponse
from app.upstream.route import Route
from app.upstream.sending import UpstreamBody

_UPSTREAM_PATHS = {"generation": "/images/generations", "edit": "/images/edits"}


class Exchange:
    """One caller's one image request, from its reservation to its settlement."""

    def __init__(
        self, shared: Exchanges, caller: Caller, request: ImageRequest, event: RequestEvent, body: UpstreamBody
    ) -> None:
        """`body` is what is sent for the request."""
        self._shared = shared
        self._caller = caller
        self._request = request
        self._event = event
        self._body = body
        self._facts = Facts()
        self._error: GatewayError | None = None
        self._answer_headers: list[tuple[bytes, bytes]] = []
        self._relay: Relay | None = None
        self._deadline: asyncio.Timeout | None = None  # while the answer is waited for
        self._is_settling = False
        self._fingerprint: str | None = None
        # Set by `run`.
        self._downstream: Downstream
        self._place: Place
        self._estimate: Estimate

    def run(
        self, downstream: Downstream, fingerprint: str | None = None, attempt: AttemptRow | None = None
    ) -> Awaitable[None]:
        """Runs the whole exchange when it is awaited. Raises GatewayError only if nothing was sent to `downstream`, so
        that the caller of this function can answer. `attempt` takes an idempotency key; raises IdempotencyKeyTaken if
        it is not free."""
        self._fingerprint = fingerprint
        images = image_files(self._shared.hosting, self._request, self._caller, self._event.request_id)
        return self._run(downstream, attempt) if images is None else self._run_hosted(downstream, attempt, images)

    async def _run_hosted(self, downstream: Downstream, attempt: AttemptRow | None, images: ImageFiles) -> None:
        async with with_links(downstream, images, is_stream=self._request.stream) as hosted:
            await self._run(hosted, attempt)

    async def _run(self, downstream: Downstream, attempt: AttemptRow | None) -> None:
        shared = self._shared
        self._downstream = downstream
        with Place(shared, self._caller.user_id, self._interrupt, self._event) as self._place:
            self._estimate = estimate(self._request)
            async with OnAccount(shared, self._request.model.id, self._facts, self._event) as account:
                self._event.mark("reserving")
                lease = await account.reserve(self._hold, attempt)
                self._note_reserved(lease.reserved)
                with closing(downstream):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(shared.bounds.exchange_seconds_max) as self._deadline:
                            try:
                                await self._note_errors(self._forward(account, lease))
                            finally:
                                # The last bytes of a whole answer are not sent yet: the request that its caller sends
                                # when it has them finds this one settled.
                                settling = self._settle(lease)
                            if self._facts.complete:
                                await self._note_errors(self._relay_rest())
                    await self._end_answer()
            if self._error is not None or self._event.moments is not None:
                # Who still needs an error answer finds room for the next request then, and a trace shows the whole
                # settlement. Neither waits for a store that is away.
                await asyncio.wait({settling}, timeout=SETTLE_SECONDS_MAX)
        self._raise_unanswered()

    def _hold(self, route: Route) -> Hold:
        caller, request, worst, now = self._caller, self._request, self._estimate, self._shared.clock()
        return Hold(
            id=self._event.request_id,
            key_id=caller.key_id,
            user_id=caller.user_id,
            team_id=caller.team_id,
            operation=request.operation,
            model=request.model.id,
            size=request.size,
            quality=request.quality,
            streamed=request.stream,
            amounts=Amounts(1, worst.images, worst.tokens, worst.nanousd),
            reserved_at=now,
            expires_at=now + timedelta(seconds=self._shared.bounds.reservation_seconds),
            # One transaction less before the first byte goes out.
            is_dispatched=route.waiting is not None,
            input_images=self._event.input_images,
            received_bytes=self._event.received_bytes,
            account=route.account.name,
            fingerprint=self._fingerprint,
        )

    async def _forward(self, account: OnAccount, lease: Lease) -> None:
        """Send the request, and relay its answer until that is whole."""
        shared, request, downstream = self._shared, self._request, self._downstream

        async def on_sending() -> None:
            if self._facts.client_left:
                raise ClientLeft("The client left before its request was sent.")
            if self._facts.interrupted:
                raise _draining()
            await lease.dispatched(shared.clock())
            self._facts.dispatched = True
            self._event.dispatched_at = shared.monotonic()

        downstream.watch(self._on_leave)
        begin_early(downstream, request, shared.bounds, self._answer_headers)
        response = await account.ask(_UPSTREAM_PATHS[request.operation], self._body, on_sending)
        self._note_response(response)
        downstream.headers = [*response.headers, *self._answer_headers]
        self._relay = Relay(response, downstream, request, shared.bounds.keepalive_seconds, self._event.moments)
        await self._relay.until_whole()

    async def _relay_rest(self) -> None:
        if self._relay is not None:
            await self._relay.rest()

    async def _note_errors(self, step: Coroutine[Any, Any, None]) -> None:
        """Awaits a step. One of our errors is kept and not raised: the caller gets it once the settling has begun."""
        try:
            await step
        except UpstreamError as error:
            self._note_error(error)
        except GatewayError as error:
            self._error = error
        except asyncio.CancelledError:
            self._note_cancelled()
            raise

    def _note_cancelled(self) -> None:
        facts = self._facts
        if self._deadline is None or not self._deadline.expired():
            facts.interrupted = True
        elif facts.interrupted and not facts.dispatched:
            self._error = _draining()
        elif not facts.interrupted and not facts.client_left:
            self._note_error(UpstreamTimeout("ZenMux did not finish its answer in time.", kind="deadline"))

    def _end_by(self, moment: float) -> None:
        deadline = self._deadline
        if deadline is not None and not deadline.expired():
            deadline.reschedule(min(moment, deadline.when() or moment))

    def _on_leave(self) -> None:
        """What was sent is read on without its caller, unless too many are read on so already."""
        self._facts.client_left = True
        self._event.mark("left")
        if not (self._facts.dispatched and self._place.abandon()):
            self._end_by(self._shared.monotonic())

    def _interrupt(self) -> None:
        """The process stops, and waits for nobody any longer."""
        facts, now = self._facts, self._shared.monotonic()
        if self._is_settling:
            return
        facts.interrupted = True
        if self._deadline is None:
            return  # not reserved yet; it will not be sent
        self._end_by(now + READ_ON_SECONDS if facts.dispatched else now)
        if facts.dispatched:
            self._shared.tasks.start(self._end_early(), "say that the gateway stops")

    async def _end_early(self) -> None:
        error = Interrupted(
            "The gateway stopped before the image was there. The request was sent to ZenMux and will be charged; "
            "sending it again would buy a second image."
        )
        self._event.error_code = "server_is_stopping"
        with suppress(OSError):
            await self._downstream.end_early(error)

    def _settle(self, lease: Lease) -> asyncio.Future[Resolution]:
        self._is_settling = True
        self._event.mark("settling")
        if self._relay is not None:
            self._facts.summary = self._relay.summary()
        conclusion = conclude(self._facts, self._request, self._estimate, self._shared.bounds.usage_holds_max)
        settlement = self._settlement(conclusion)
        note_conclusion(self._event, conclusion)
        settling = lease.settle(settlement)
        self._shared.tasks.keep(settling)
        if self._event.moments is not None:
            settling.add_done_callback(lambda _: self._event.mark("settled"))
        return settling

    async def _end_answer(self) -> None:
        """Well, or with the error; an answer that can tell of none is left unfinished."""
        facts, relay, self._deadline = self._facts, self._relay, None
        # A failure that the answer tells after its image counts; a connection that breaks after it does not.
        is_whole = (
            facts.complete if self._error is None or relay is None else relay.summary().delivers or relay.ends_well
        )
        if facts.interrupted and not is_whole:
            return  # `_end_early` says so
        if self._error is None or is_whole:
            await self._downstream.finish()
        else:
            await self._downstream.fail(self._error)

    def _raise_unanswered(self) -> None:
        """The error, if the caller was given nothing and is to be given something."""
        facts, error = self._facts, self._error
        self._error = facts.error = None  # break the cycle error -> traceback -> frame -> exchange
        is_seen_to = isinstance(error, ClientLeft) or (facts.interrupted and facts.dispatched)
        try:
            if error is not None and not is_seen_to and not self._downstream.started:
                raise error
        finally:
            del error

    def _settlement(self, conclusion: Conclusion) -> Settlement:
        event, now = self._event, self._shared.monotonic()
        first_byte = event.seconds_until(event.first_byte_at)
        return Settlement(
            state=conclusion.state,
            outcome=conclusion.outcome.value,
            usage_source=conclusion.usage_source,
            charged=conclusion.charged,
            usage=conclusion.usage,
            priced=conclusion.priced,
            client_left=self._facts.client_left,
            upstream_status=event.upstream_status,
            upstream_request_id=event.upstream_request_id,
            first_byte_ms=None if first_byte is None else round(first_byte * 1000),
            duration_ms=round((now - event.started_at) * 1000),
            resolved_at=self._shared.clock(),
        )

    def _note_reserved(self, reserved: Reserved) -> None:
        event, nanousd = self._event, self._estimate.nanousd
        event.mark("reserved")
        event.is_reserved, event.state, event.held_nanousd = True, "pending", nanousd
        event.outcome = Outcome.INTERRUPTED
        event.shadow_refusals = reserved.shadow_refusals
        self._answer_headers = [
            *self._shared.headers,
            (b"x-gateway-estimated-cost-usd", f"{nanousd / 1e9:.6f}".encode()),
        ]
        if self._request.changes:
            self._answer_headers.append((b"x-gateway-normalized", ", ".join(self._request.changes).encode()))
        if reserved.rate is not None:
            rate = reserved.rate
            self._answer_headers += [
                (b"x-ratelimit-limit-requests", str(rate.limit).encode()),
                (b"x-ratelimit-remaining-requests", str(rate.remaining).encode()),
                (b"x-ratelimit-reset-requests", f"{rate.reset_seconds}s".encode()),
            ]

    def _note_response(self, response: UpstreamResponse) -> None:
        self._event.upstream_status = response.status
        self._event.upstream_request_id = response.request_id

    def _note_error(self, error: UpstreamError) -> None:
        self._error = self._facts.error = error
        event = self._event
        event.upstream_error, event.upstream_reason = error.kind, error.reason
        event.upstream_status = error.answered_status or event.upstream_status
        event.upstream_request_id = error.request_id or event.upstream_request_id


def _draining() -> Draining:
    return Draining("The gateway is stopping. Please try again shortly.")
