"""Moves an answer's bytes to the client as they come, while a reader finds usage in them. Keeps none of them."""

import asyncio
from collections.abc import Callable

from app.errors import UpstreamBroken, UpstreamError
from app.exchange.downstream import Downstream
from app.exchange.readers import Reader, reader_of
from app.images.cost.usage import Reading
from app.images.request.normalize import ImageRequest
from app.upstream.failures import failure_in_answer, no_image
from app.upstream.zenmux import UpstreamResponse

# A document is sent once its image begins, or once this much of it has come. Until then it may still be refused.
_HELD_BYTES_MAX = 16_384
OnReading = Callable[[Reading], None]


async def relay(
    response: UpstreamResponse,
    downstream: Downstream,
    request: ImageRequest,
    keepalive_seconds: float,
    on_reading: OnReading,
) -> None:
    """Relays the whole answer, translated if a document was requested and a stream came, or the other way.

    `on_reading` is called once with what the answer says: when it is whole, before its last bytes are sent, or else
    when it ends. It is called again if a failure is reported after that. Raises UpstreamError if the answer ends before
    it is whole, has no image or reports a failure. What was sent by then is left unfinished; the exchange ends it.
    """
    reader = reader_of(response.content_type, request)
    if reader is None:
        raise _not_an_answer(f"a 200 answer of the type {response.content_type[:80]!a}")
    passing = _Passing(response, downstream, reader, on_reading)
    if reader.closing is None or not reader.image_begun:
        await passing.run()
        return
    await passing.begin()
    with downstream.kept_alive(keepalive_seconds, lambda: reader.at_boundary):
        await passing.run()


class _Passing:
    """One answer while it passes."""

    def __init__(
        self, response: UpstreamResponse, downstream: Downstream, reader: Reader, on_reading: OnReading
    ) -> None:
        self._response = response
        self._downstream = downstream
        self._reader = reader
        self._on_reading = on_reading
        self._held = b""
        self._is_reported = False  # that it came whole and good

    async def begin(self) -> None:
        response, downstream, reader = self._response, self._downstream, self._reader
        downstream.event_closing = reader.closing
        if reader.content_type is None:
            await downstream.start(response.status, None if reader.closing else response.content_length)
            return
        kept = [header for header in downstream.headers if header[0] != b"content-type"]
        downstream.headers = [*kept, (b"content-type", reader.content_type)]
        await downstream.start(response.status, None)

    async def run(self) -> None:
        reader = self._reader
        try:
            while (chunk := await self._response.read()) is not None:
                at, size = 0, len(chunk.view)
                while True:
                    passed = reader.feed(chunk.data, size, at)
                    at = reader.read_to
                    if not self._is_reported and reader.delivers:
                        self._tell()
                    if passed or not self._downstream.started:
                        await self._pass(passed)
                    del passed
                    if at >= size:
                        break
                    await asyncio.sleep(0)  # there is much to read in it, so other tasks run first
                del chunk  # the next chunk may use its memory
        finally:
            if not self._is_reported:
                self._on_reading(reader.finish())
        if not self._is_reported or reader.fails:
            reading = reader.finish()
            if self._is_reported:
                self._on_reading(reading)
            if not reading.delivers:
                raise _verdict(reading, reader)
        if rest := reader.flush():
            await self._pass(rest)

    def _tell(self) -> None:
        reading = self._reader.finish()
        if reading.delivers:
            self._is_reported = True
            self._on_reading(reading)

    async def _pass(self, passed: bytes | memoryview) -> None:
        downstream, reader = self._downstream, self._reader
        if not downstream.started:
            if reader.malformed:
                raise _not_an_answer("a body that is no JSON object")
            if reader.refuses:
                raise _verdict(reader.finish(), reader)
            if not self._is_reported and not reader.image_begun and len(self._held) + len(passed) <= _HELD_BYTES_MAX:
                self._held += passed
                return
            await self.begin()
        if self._held:
            passed, self._held = self._held + passed, b""
        if passed:
            await downstream.write(passed, is_whole=self._is_reported)


def _verdict(reading: Reading, reader: Reader) -> UpstreamError:
    """Why an answer is not what was requested."""
    if reading.failure is not None:
        return failure_in_answer(reading.failure, streamed=reader.reads_stream)
    if reading.complete:
        return no_image(reading.remark)
    return UpstreamBroken("ZenMux's answer ended before it was whole.", kind="incomplete")


def _not_an_answer(reason: str) -> UpstreamBroken:
    error = UpstreamBroken("ZenMux answered with something that is not an image answer.", kind="not_an_answer")
    error.reason = reason
    return error
