"""Spans of image requests, made when the request has ended, from its event and its moments. OTEL_* configures them.

OpenTelemetry (the extra `otel`) is loaded only if a collector's address is set. A collector that is away costs nothing:
spans wait in a bounded queue, and a stop waits for them no longer than CLOSE_SECONDS.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from app.telemetry import trace_names as names
from app.telemetry.event import Moments, Outcome, RequestEvent

CLOSE_SECONDS = 0.5
_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER = "opentelemetry.exporter.otlp"
_USER_ID_SWITCH = "OTEL_INSTRUMENTATION_ZENMUX_GATEWAY_CAPTURE_USER_ID"  # its form is that of other libraries' switches
_PARENTS = (b"traceparent", b"tracestate")
_WELL = frozenset({Outcome.COMPLETED, Outcome.CLIENT_LEFT})

_log = logging.getLogger("gateway")


def traces_of(environment: Mapping[str, str], version: str, upstream_url: str) -> "Traces | None":
    """None unless OTEL_* names a collector; a warning if it does and the extra `otel` is not installed."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if not any(environment.get(name) for name in _ADDRESSES):
        return None
    # In this order: asking for a module whose parent is missing raises.
    if not all(map(find_spec, ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", _EXPORTER))):
        _log.warning("traces_not_possible", extra={"install": "zenmux-gateway[otel]"})
        return None
    names_users = environment.get(_USER_ID_SWITCH, "").lower() == "true"
    return Traces(version, urlsplit(upstream_url).hostname or "", names_users=names_users)


class Traces:
    """Makes the spans of one process. Open it once, in the process that serves. `names_users`: with their ids."""

    def __init__(self, version: str, upstream_host: str, *, names_users: bool = False) -> None:
        self._version = version
        self._upstream_host = upstream_host
        self._names_users = names_users
        self._epoch_ns = 0  # when the event loop's clock was 0, in nanoseconds since 1970

    def open(self, exporter: Any = None) -> None:  # noqa: ANN401 - types of a library that may not be there
        """Starts sending. `exporter`: another one than OTEL_* asks for."""
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
        resource = Resource.create({"service.version": self._version})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):  # OTEL_* names none
            resource = resource.merge(Resource({"service.name": "zenmux-gateway"}))
        self._api = trace
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("zenmux-gateway", self._version)
        self._parents = TraceContextTextMapPropagator()
        # Each failed try to send would be a traceback in the log.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def begin(self, headers: Iterable[tuple[bytes, bytes]], monotonic: Callable[[], float]) -> Moments:
        """What a request needs so that spans can be made of it."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PARENTS}
        return Moments(monotonic, carrier)

    def record(self, event: RequestEvent, moments: Moments, *, is_job: bool = False) -> None:
        """Makes the spans of an image request that has ended, or of a job, for which nobody waited. Sets the event's
        `trace_id` if they are kept."""
        if event.operation is None or event.ended_at is None:
            return
        # Both clocks are read once: read for each moment, a pause in between would put a span outside its parent.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        kinds = self._api.SpanKind
        span = self._tracer.start_span(
            f"job {names.OPERATION_NAMES[event.operation]}" if is_job else f"POST {event.path}",
            context=self._parents.extract(moments.carrier),
            kind=kinds.CONSUMER if is_job else kinds.SERVER,
            attributes=_known(_own_attributes(event) if is_job else _server_attributes(event)),
            start_time=self._at(event.started_at),
        )
        if self._names_users and event.user_id is not None:
            span.set_attribute(names.USER_ID, event.user_id)
        left = None if is_job else moments.at.get("left")  # who cancels a job ends it, and leaves nothing behind
        if span.is_recording():
            event.trace_id = f"{span.get_span_context().trace_id:032x}"
            inside = self._api.set_span_in_context(span)
            self._reserve(event, moments, inside)
            self._ask(event, moments, inside)
            self._settle(event, moments, inside, is_alone=left is not None)
        self._end(span, left or event.ended_at, "client_closed" if left else _error_of(event))

    async def close(self) -> None:
        """Sends what waits, for at most CLOSE_SECONDS."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), CLOSE_SECONDS)
        except TimeoutError:
            _log.warning("traces_not_sent")

    def _reserve(self, event: RequestEvent, moments: Moments, inside: Any) -> None:  # noqa: ANN401 - as above
        begun, ended = moments.at.get("reserving"), moments.at.get("reserved")
        if begun is None:
            return
        held = _known({names.HELD_NANOUSD: event.held_nanousd})
        span = self._tracer.start_span("reserve", context=inside, attributes=held, start_time=self._at(begun))
        self._end(span, ended or event.ended_at, None if ended else event.refusal or event.error_code or "unavailable")

    def _ask(self, event: RequestEvent, moments: Moments, inside: Any) -> None:  # noqa: ANN401 - as above
        """From the reservation to the settlement: ZenMux's part."""
        begun = moments.at.get("reserved")
        if begun is None or event.dispatched_at is None:
            return
        span = self._tracer.start_span(
            f"{names.OPERATION_NAMES[event.operation or '']} {event.model}",
            context=inside,
            kind=self._api.SpanKind.CLIENT,
            attributes=_known(_client_attributes(event, moments, self._upstream_host)),
            start_time=self._at(begun),
        )
        span.add_event("dispatched", timestamp=self._at(event.dispatched_at))
        for name, moment, attributes in moments.happened:
            span.add_event(name, attributes, timestamp=self._at(moment))
        error = None if event.outcome in _WELL else event.upstream_error or event.outcome.value
        self._end(span, moments.at.get("settling", event.ended_at), error)

    def _settle(self, event: RequestEvent, moments: Moments, inside: Any, *, is_alone: bool) -> None:  # noqa: ANN401 - as above
        """A caller that left ended the request's span: the settlement is then a trace of its own, linked to it."""
        begun = moments.at.get("settling")
        if begun is None:
            return
        origin = self._api.get_current_span(inside).get_span_context()
        span = self._tracer.start_span(
            "settle",
            context=self._api.set_span_in_context(self._api.INVALID_SPAN) if is_alone else inside,
            links=[self._api.Link(origin)] if is_alone else None,
            attributes=_known(_settle_attributes(event)),
            start_time=self._at(begun),
        )
        self._end(span, moments.at.get("settled", event.ended_at), None)

    def _end(self, span: Any, at: float | None, error_type: str | None) -> None:  # noqa: ANN401 - as above
        if error_type is not None:
            span.set_attribute(names.ERROR_TYPE, error_type)
            span.set_status(self._api.StatusCode.ERROR)
        span.end(None if at is None else self._at(at))

    def _at(self, monotonic: float) -> int:
        """A moment of the event loop's clock as nanoseconds since 1970, as spans have it."""
        return self._epoch_ns + int(monotonic * 1e9)


def _error_of(event: RequestEvent) -> str | None:
    """A caller's own mistake is no error of the server's span: the conventions say so of statuses below 500."""
    return event.outcome.value if event.status is None or event.status >= 500 else None


def _server_attributes(event: RequestEvent) -> dict[str, object]:
    return {
        names.HTTP_METHOD: "POST",
        names.HTTP_ROUTE: event.path,
        names.URL_PATH: event.path,
        names.URL_SCHEME: "http",
        names.HTTP_STATUS: event.status,
        **_own_attributes(event),
    }


def _own_attributes(event: RequestEvent) -> dict[str, object]:
    return {
        names.REQUEST_ID: event.request_id,
        names.KEY_ID: event.key_id,
        names.TEAM: event.team,
        names.OUTCOME: event.outcome.value,
    }


def _client_attributes(event: RequestEvent, moments: Moments, host: str) -> dict[str, object]:
    usage, first = event.usage, next((at for name, at, _ in moments.happened if name == "first_chunk"), None)
    attributes: dict[str, object] = {
        names.OPERATION: names.OPERATION_NAMES[event.operation or ""],
        names.PROVIDER: "zenmux",
        names.REQUEST_MODEL: event.model,
        names.RESPONSE_MODEL: event.model if event.outcome in _WELL else None,
        names.OUTPUT_TYPE: "image",
        names.CHOICES: event.n,
        names.STREAM: event.stream,
        names.FIRST_CHUNK_SECONDS: first - (event.dispatched_at or first) if first and event.stream else None,
        names.SERVER_ADDRESS: host,
        names.SIZE: event.size,
        names.QUALITY: event.quality,
        names.UPSTREAM_REQUEST_ID: event.upstream_request_id,
    }
    if usage is not None:
        attributes |= {
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
            names.INPUT_TEXT_TOKENS: usage.input_text_tokens,
            names.INPUT_IMAGE_TOKENS: usage.input_image_tokens,
            names.OUTPUT_TEXT_TOKENS: usage.output_text_tokens,
            names.OUTPUT_IMAGE_TOKENS: usage.output_image_tokens,
        }
    return attributes


def _settle_attributes(event: RequestEvent) -> dict[str, object]:
    return {
        names.REQUEST_ID: event.request_id,
        names.OUTCOME: event.outcome.value,
        names.CHARGED_NANOUSD: event.cost_nanousd,
        names.CHARGED_IMAGES: event.images,
        names.USAGE_SOURCE: event.usage_source,
    }


def _known(attributes: dict[str, object]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
