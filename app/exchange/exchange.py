"""The life of one request, top to bottom: reserve, forward, relay and meter, settle. The only `finally` that settles.

An Exchange is a response object, so its `finally` runs whether or not the client stays. It decides nothing itself:
ending.py says what is charged.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import ClientLeft, Draining, Interrupted, UpstreamError, UpstreamTimeout
from app.exchange.downstream import Downstream
from app.exchange.ending import Conclusion, Facts, conclude
from app.exchange.in_flight import READ_ON_SECONDS, SETTLE_SECONDS_MAX, Exchanges
from app.exchange.relay import relay
from app.identity.keys.authentication import Caller
from app.images.cost.pricing import estimate
from app.images.cost.usage import Reading
from app.images.request.normalize import ImageRequest
from app.quotas.ledger.commands import Reserved
from app.quotas.rules.reservation import Amounts, Hold, Resolution, Settlement, UsageSource
from app.telemetry.event import Outcome, RequestEvent
from app.upstream.route import Route
from app.upstream.zenmux import UpstreamResponse

logger = logging.getLogger("gateway.exchange")

_UPSTREAM_PATHS = {"generation": "/images/generations"}


class Exchange(Response):
    """One image request of one caller, from its reservation to its settlement."""

    def __init__(self, shared: Exchanges, caller: Caller, request: ImageRequest, event: RequestEvent) -> None:
        self.status_code = 200
        self.background = None
        self._shared = shared
        self._caller = caller
        self._request = request
        self._event = event
        self._estimate = estimate(request)
        self._facts = Facts()
        self._answer_headers: list[tuple[bytes, bytes]] = []
        self._route: Route | None = None
        self._deadline: asyncio.Timeout | None = None
        self._is_abandoned = False
        self._settling: asyncio.Future[Resolution] | None = None
        self._downstream: Downstream | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Raises GatewayError only while nothing was sent to the client, so that the door can answer it."""
        self._shared.begin(self._caller.user_id)
        self._shared.running.add(self._on_interrupt)
        try:
            await self._reserve()
            downstream = Downstream(receive, send, self._shared.tasks, self._shared.bounds.client_stall_seconds)
            self._downstream = downstream
            try:
                await self._forward(downstream)
            except asyncio.CancelledError:
                self._facts.interrupted = True
                raise
            finally:
                downstream.close()
                await self._close_route()
                # However this task ended, the accounting finishes: nothing cancels a settlement that has begun. A
                # client that still needs an error answer does not wait for a store that is away.
                await asyncio.wait({self._settle()}, timeout=SETTLE_SECONDS_MAX)
        finally:
            self._downstream = None
            self._shared.running.discard(self._on_interrupt)
            self._facts.error = None  # break the cycle error → traceback → frame
            self._shared.end(self._caller.user_id)

    async def _reserve(self) -> None:
        """Reserves the worst case. If a connection waits already, the reservation is dispatched from the start. That
        saves one transaction before the first byte is sent.
        """
        self._route = await self._shared.upstream.choose()
        try:
            self._note_reserved(await self._shared.ledger.reserve(self._hold(self._shared.clock())))
        except BaseException:
            await self._close_route()
            raise

    async def _close_route(self) -> None:
        if self._route is not None:
            await self._route.aclose()

    async def _forward(self, downstream: Downstream) -> None:
        """Sends the request and relays the answer. An error after the answer began ends the answer instead of being
        raised.
        """
        shared, facts = self._shared, self._facts
        try:
            async with asyncio.timeout(shared.bounds.exchange_seconds_max) as self._deadline:
                downstream.watch(self._on_leave)
                try:
                    await self._ask_and_relay(downstream)
                finally:
                    downstream.unwatch()
                    facts.client_left = facts.client_left or downstream.left
                    if self._is_abandoned:
                        shared.end_abandoned()
        except TimeoutError:
            if facts.interrupted and not facts.dispatched:
                raise _draining() from None
            if not facts.interrupted and not facts.client_left:
                facts.error = UpstreamTimeout("ZenMux did not finish its answer in time.", kind="deadline")
        except UpstreamError as error:
            facts.error = error
        except ClientLeft:
            return
        if facts.error is not None:
            self._note_error(facts.error)
        if facts.interrupted and not facts.complete:
            return
        if facts.error is None or facts.complete:
            await downstream.finish()
        elif not downstream.started:
            raise facts.error
        elif downstream.event_closing is not None:
            await downstream.finish(shared.error_event(facts.error, downstream.event_closing))
        # else: a document has no place for an error; it is left unfinished, and the server breaks the connection

    def _on_leave(self) -> None:
        """Continues reading the answer without its client, unless too many are read like this already."""
        self._facts.client_left = True
        self._is_abandoned = self._shared.abandon()
        if not self._is_abandoned and self._deadline is not None:
            self._deadline.reschedule(self._shared.monotonic())

    def _on_interrupt(self) -> None:
        """The process is stopping and does not wait any longer."""
        facts, now = self._facts, self._shared.monotonic()
        if facts.complete or self._settling is not None:
            return
        facts.interrupted = True
        if self._downstream is None or self._deadline is None:
            return  # not reserved yet; it will not be sent
        until = now + READ_ON_SECONDS if facts.dispatched else now
        self._deadline.reschedule(min(until, self._deadline.when() or until))
        if facts.dispatched:
            self._shared.tasks.start(self._tell_interrupted(self._downstream), "tell of a stop")

    async def _tell_interrupted(self, downstream: Downstream) -> None:
        error = Interrupted(
            "The gateway stopped before the image was there. The request was sent to ZenMux and will be charged; "
            "sending it again would buy a second image."
        )
        answer = self._shared.error_response(error)
        self._event.error_code = "server_is_stopping"
        with suppress(OSError):
            await downstream.end_early(answer, lambda closing: self._shared.error_event(error, closing))

    async def _ask_and_relay(self, downstream: Downstream) -> None:
        shared = self._shared
        body = orjson.dumps(dict(self._request.fields))
        path = _UPSTREAM_PATHS[self._request.operation]
        assert self._route is not None
        is_marked = self._route.waiting is not None  # marked with the reservation

        async def on_sending() -> None:
            if downstream.left:
                raise ClientLeft("The client left before its request was sent.")
            if self._facts.interrupted:
                raise _draining()
            if not is_marked:
                await shared.ledger.mark_dispatched(self._event.request_id, shared.clock())
            self._facts.dispatched = True
            self._event.dispatched_at = shared.monotonic()

        response = await shared.upstream.ask(self._route, path, body, "application/json", on_sending)
        try:
            self._note_response(response)
            downstream.headers = [*response.headers, *self._answer_headers]
            await relay(response, downstream, self._request, shared.bounds.keepalive_seconds, self._note_reading)
        finally:
            await response.aclose()

    def _note_reading(self, reading: Reading) -> None:
        """Notes what the answer says so far. Once the answer is whole and good, settling begins before its last bytes
        are sent. So a request that the client sends right after this answer finds this one settled.
        """
        self._facts.reading = reading
        if self._facts.complete:
            self._settle()

    def _settle(self) -> asyncio.Future[Resolution]:
        """Begins to settle, once. Later calls return the same future."""
        if self._settling is None:
            conclusion = conclude(self._facts, self._request, self._estimate, self._shared.bounds.usage_holds_max)
            settlement = self._settlement(conclusion)
            self._note_conclusion(conclusion)
            self._settling = self._resolve(settlement)
            self._settling.add_done_callback(self._note_settled)
            self._shared.tasks.keep(self._settling)
        return self._settling

    def _resolve(self, settlement: Settlement) -> asyncio.Future[Resolution]:
        try:
            return self._shared.ledger.resolve(self._event.request_id, settlement)
        except Exception as error:  # noqa: BLE001 - a bug must not cut the answer off; _note_settled logs it
            failed: asyncio.Future[Resolution] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _note_settled(self, settled: asyncio.Future[Resolution]) -> None:
        extra: dict[str, object] = {"request_id": self._event.request_id}
        error = settled.exception()
        if error is not None:
            # The reservation stays pending, and the sweep closes it at the estimate. Nothing is lost.
            logger.error("settlement_not_written", exc_info=error, extra=extra)
        elif settled.result() is Resolution.CORRECTED:
            logger.warning("settlement_corrected", extra=extra)  # other processes took this one for dead meanwhile
        elif (resolution := settled.result()) not in (Resolution.DONE, Resolution.SPOOLED):
            logger.error("reservation_resolved_twice", extra={**extra, "resolution": resolution.value})

    def _hold(self, now: datetime) -> Hold:
        caller, request, worst = self._caller, self._request, self._estimate
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
            is_dispatched=self._route is not None and self._route.waiting is not None,
        )

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
        event.state, event.held_nanousd = "pending", nanousd
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
        event = self._event
        event.upstream_error, event.upstream_reason = error.kind, error.reason
        event.upstream_status = error.answered_status or event.upstream_status
        event.upstream_request_id = error.request_id or event.upstream_request_id

    def _note_conclusion(self, conclusion: Conclusion) -> None:
        event = self._event
        event.outcome, event.state = conclusion.outcome, conclusion.state.value
        event.usage_source, event.usage = conclusion.usage_source.value, conclusion.usage
        event.images, event.cost_nanousd = conclusion.charged.images, conclusion.charged.nanousd
        event.unpriced = not conclusion.priced and conclusion.usage_source is not UsageSource.NONE
        event.usage_implausible = conclusion.implausible


def _draining() -> Draining:
    return Draining("The gateway is stopping. Please try again shortly.")
