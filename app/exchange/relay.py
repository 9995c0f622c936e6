"""Moves an answer's bytes to the client as they come, while a scanner reads usage out of them. Keeps none of them."""

from collections.abc import Callable

from app.errors import UpstreamBroken
from app.exchange.downstream import Downstream
from app.images.events import EventScanner
from app.images.scanner import JsonScanner
from app.images.usage import Reading
from app.upstream.client import UpstreamResponse
from app.upstream.failures import stream_failure

EVENT_STREAM = "text/event-stream"
_DOCUMENT = "application/json"
OnReading = Callable[[Reading], None]


async def relay(
    response: UpstreamResponse, downstream: Downstream, keepalive_seconds: float, on_reading: OnReading
) -> None:
    """Relay the whole answer; its own content type, not the request, decides how it is read.

    `on_reading` is told once what the answer says: when it is whole, before its last bytes are sent, or else when
    it ends. Raises UpstreamError when it ends before it is whole or tells of a failure; what was sent by then is
    left unfinished for the exchange to end.
    """
    if response.content_type == EVENT_STREAM:
        await _relay_events(response, downstream, keepalive_seconds, on_reading)
    elif response.content_type == _DOCUMENT:
        await _relay_document(response, downstream, on_reading)
    else:
        raise _not_an_answer()


async def _relay_document(response: UpstreamResponse, downstream: Downstream, on_reading: OnReading) -> None:
    scanner = JsonScanner()
    told = False
    try:
        while (chunk := await response.read()) is not None:
            scanner.feed(chunk.data, len(chunk.view))
            if scanner.complete and not told:
                told = True
                on_reading(scanner.finish())
            if not downstream.started:
                if scanner.malformed or scanner.failure is not None:
                    raise _not_an_answer()
                await downstream.start(response.status, response.content_length)
            await downstream.write(chunk.view, is_whole=told)
            del chunk  # the next one may take its memory
    finally:
        if not told:
            on_reading(scanner.finish())
    if not told:
        raise _incomplete()


async def _relay_events(
    response: UpstreamResponse, downstream: Downstream, keepalive_seconds: float, on_reading: OnReading
) -> None:
    scanner = EventScanner()
    told = False
    downstream.event_closing = scanner.closing
    await downstream.start(response.status, None)
    with downstream.kept_alive(keepalive_seconds, lambda: scanner.at_boundary):
        try:
            while (chunk := await response.read()) is not None:
                passed = scanner.feed(chunk.data, len(chunk.view))
                if scanner.complete and not told:
                    told = True
                    on_reading(scanner.finish())
                if passed:
                    await downstream.write(passed)
                del chunk, passed  # the next one may take their memory
        finally:
            if not told:
                on_reading(scanner.finish())
    if told:
        await downstream.write(scanner.flush())
        return
    failure = scanner.finish().failure
    raise _incomplete() if failure is None else stream_failure(failure)


def _not_an_answer() -> UpstreamBroken:
    return UpstreamBroken("ZenMux answered with something that is not an image answer.", kind="not_an_answer")


def _incomplete() -> UpstreamBroken:
    return UpstreamBroken("ZenMux's answer ended before it was whole.", kind="incomplete")
