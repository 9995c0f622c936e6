"""The outermost layer: gives each request its id and its event, and records the event once, whatever happens."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.event import Outcome, RequestEvent
from app.telemetry.logs import FieldsRecord, request_line
from app.telemetry.metrics import Metrics
from app.telemetry.sampling import Sampler
from app.telemetry.shown_path import shown_path
from app.telemetry.traces import Traces

logger = logging.getLogger("gateway.request")

_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_LEFT_OUT_SECONDS = 1.0
EVENT = "event"  # its key in the request's state


def _count_nowhere(user_id: str, key_id: str, code: str) -> None: ...


class Records(NamedTuple):
    """Where a request is recorded, beside the log. `count_refusal` gets a user, a key ('': not known) and a code."""

    metrics: Metrics
    traces: Traces | None = None
    count_refusal: Callable[[str, str, str], None] = _count_nowhere


class Recording:
    """ASGI middleware. `new_request_id` gives unique ids; every answer has its own as `x-request-id`.

    `fault` makes the answer to a request that met a bug; the log has the traceback. `stopping` makes the answer to a
    request that the server cancelled, which it does if a stop cannot wait longer. `unauthenticated` says which requests
    without a valid key get a log line; the metrics count them all.
    """

    def __init__(
        self,
        app: ASGIApp,
        records: Records,
        new_request_id: Callable[[], str],
        fault: Callable[[], ASGIApp],
        stopping: Callable[[RequestEvent], ASGIApp],
        unauthenticated: Sampler,
    ) -> None:
        self._app = app
        self._metrics, self._traces = records.metrics, records.traces
        self._count_refusal = records.count_refusal
        self._new_request_id = new_request_id
        self._fault = fault
        self._stopping = stopping
        self._unauthenticated = unauthenticated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        monotonic = asyncio.get_running_loop().time
        event = RequestEvent(self._new_request_id(), shown_path(scope["path"]), monotonic())
        scope.setdefault("state", {})[EVENT] = event
        if self._traces is not None:
            event.moments = self._traces.begin(scope["headers"], monotonic)
        request_id_header = (b"x-request-id", event.request_id.encode())

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                event.status = message["status"]
                message["headers"] = [*message.get("headers", ()), request_id_header]
            else:
                if event.first_byte_at is None and "is_filler" not in message:
                    event.first_byte_at = monotonic()
                event.sent_bytes += len(message.get("body", b"")) + message.get("count", 0)  # of a part of a file
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except asyncio.CancelledError:
            # Nothing else cancels a request, and this is its last step. Raised further, it would look like a bug.
            event.outcome = Outcome.INTERRUPTED if event.is_reserved else Outcome.UNAVAILABLE
            if event.status is None:
                event.error_code = "server_is_stopping"
                await self._stopping(event)(scope, receive, send_recorded)
        except Exception:
            logger.exception("fault", extra={"request_id": event.request_id})
            if event.status is None:
                await self._fault()(scope, receive, send_recorded)
        finally:
            event.ended_at = monotonic()
            self._record(event)

    def _record(self, event: RequestEvent) -> None:
        """Records the event. Never raises: a failure to record must not become a failure to serve."""
        try:
            if self._traces is not None and event.moments is not None:
                self._traces.record(event, event.moments)
            self._metrics.record(event)
            if event.refusal is not None:
                self._count_refusal(event.user_id or "", event.key_id or "", event.refusal)
            if event.path not in _QUIET_PATHS and self._is_to_be_logged(event):
                _log(event)
        except Exception:
            logger.exception("request_not_recorded", extra={"request_id": event.request_id})

    def _is_to_be_logged(self, event: RequestEvent) -> bool:
        """Everything with a valid key and every fault of ours is logged; the rest only up to a rate."""
        if event.key_id is not None or event.status in (None, 500):
            return True
        sampler = self._unauthenticated
        if sampler.admit(event.ended_at or 0.0):
            return True
        if sampler.left_out == 1:
            asyncio.get_running_loop().call_later(_LEFT_OUT_SECONDS, self._tell_left_out)
        return False

    def _tell_left_out(self) -> None:
        logger.warning("requests_not_logged", extra={"count": self._unauthenticated.take_left_out()})


def record_job(records: Records, event: RequestEvent) -> None:
    """Records a job that ended, once. Never raises."""
    try:
        if records.traces is not None and event.moments is not None:
            records.traces.record(event, event.moments, is_job=True)
        records.metrics.record(event)
        _log(event)
    except Exception:
        logger.exception("request_not_recorded", extra={"request_id": event.request_id})


def _log(event: RequestEvent) -> None:
    level = logging.ERROR if event.status is None or event.status >= 500 else logging.INFO
    if logger.isEnabledFor(level):
        logger.handle(FieldsRecord(logger.name, level, "request", request_line(event)))
