"""Moves an answer's bytes to the caller as they come, while a reader finds usage in them. Keeps none of them."""

import asyncio

from app.errors import UpstreamBroken, UpstreamError
from app.exchange.answer_reader import DOCUMENT, EVENT_STREAM, AnswerReader, answer_reader
from app.exchange.downstream import Downstream, EarlyHead, no_event_begun
from app.exchange.in_flight import ExchangeBounds
from app.images.cost.usage import AnswerSummary
from app.images.request.normalize import ImageRequest
from app.telemetry.event import Moments
from app.upstream.failures import failure_in_answer, no_image
from app.upstream.response import UpstreamResponse
from app.upstream.wire.chunks import Chunk

# A document is sent once its image begins, or once this much of it has come. Until then it may still be refused.
_HELD_BYTES_MAX = 16_384


class Relay:
    """One answer while it passes, translated if a document was requested and a stream came, or the other way.

    Call `until_whole`, then `rest`: between the two the answer is known to be whole, and its caller does not have its
    last bytes yet. Both raise UpstreamError if the answer ends before it is whole, has no image or reports a failure.
    What was sent by then is left unfinished. Making one raises UpstreamBroken if it is not an images answer.
    """

    def __init__(
        self,
        response: UpstreamResponse,
        downstream: Downstream,
        request: ImageRequest,
        keepalive_seconds: float,
        moments: Moments | None = None,
    ) -> None:
        reader = answer_reader(response.content_type, request)
        if reader is None:
            raise _not_an_answer(f"a 200 answer of the type {response.content_type[:80]!a}")
        self._response = response
        self._downstream = downstream
        self._keepalive_seconds = keepalive_seconds
        self._reader: AnswerReader = reader
        self._moments = moments
        self._partial_count = 0  # noted
        self._chunk: Chunk | None = None
        self._at = 0  # how far the chunk was read
        self._piece: bytes | memoryview = b""  # what was read last and may be sent
        self._held = b""
        self._has_begun = False
        self._whole: AnswerSummary | None = None  # what it says, once it is whole and good
        self.ends_well = False  # its caller has an image from it, though a failure was reported beside it

    def summary(self) -> AnswerSummary:
        """What the answer says so far."""
        return self._whole or self._reader.summary()

    async def until_whole(self) -> None:
        """Passes on what comes until the answer is whole and good. The piece that makes it so is read and not sent."""
        reader = self._reader
        if reader.closing is not None and reader.image_begun:
            await self._begin()
            self._downstream.keep_alive(self._keepalive_seconds, lambda: reader.at_boundary)
        while await self._read():
            if self._whole is not None:
                return
            await self._send()
        await self._check(reader.summary())

    async def rest(self) -> None:
        """Passes on what `until_whole` left, and reads to the end of the answer: it may still report a failure."""
        reader = self._reader
        if self._whole is not None:
            await self._send()
            while await self._read():
                await self._send()
            if reader.fails:
                self._whole = reader.summary()
                await self._check(self._whole)
        self._piece = reader.flush()
        if self._piece:
            await self._send()

    async def _check(self, summary: AnswerSummary) -> None:
        """Raises UpstreamError unless it says that the answer is good.

        A document that has begun is ended well if its image came whole: if it were broken off, SDKs would request the
        image again, and it would be bought twice.
        """
        if summary.delivers:
            return
        if self._has_begun and self._reader.closing is None and summary.complete and summary.image_count:
            self._piece = self._reader.flush()
            await self._send()
            self.ends_well = True
        raise _verdict(summary, self._reader)

    async def _read(self) -> bool:
        """Reads the next piece of the answer. False at its end."""
        if self._chunk is not None:
            await asyncio.sleep(0)  # there is much to read in it, so other tasks run first
        else:
            self._chunk, self._at = await self._response.read(), 0
            if self._chunk is None:
                return False
        reader, chunk, size = self._reader, self._chunk, len(self._chunk.view)
        self._piece = reader.feed(chunk.data, size, self._at)
        self._at = reader.read_to
        if self._moments is not None:
            self._note(self._moments)
        if self._at >= size:
            self._chunk = None  # once the piece is sent, the next chunk may use its memory
        if self._whole is None and reader.delivers:
            summary = reader.summary()
            self._whole = summary if summary.delivers else None
        return True

    def _note(self, moments: Moments) -> None:
        """For the spans: the first chunk, and each partial image."""
        if not moments.happened:
            moments.note("first_chunk")
        for size in self._reader.partials[self._partial_count :]:
            moments.note("partial_image", index=self._partial_count, bytes=size)
            self._partial_count += 1

    async def _begin(self) -> None:
        self._has_begun = True
        response, downstream, reader = self._response, self._downstream, self._reader
        downstream.event_end = reader.closing
        if reader.content_type is None:
            await downstream.start(response.status, None if reader.closing else response.content_length)
            return
        kept = [header for header in downstream.headers if header[0] != b"content-type"]
        downstream.headers = [*kept, (b"content-type", reader.content_type)]
        await downstream.start(response.status, None)

    async def _send(self) -> None:
        downstream, reader, piece = self._downstream, self._reader, self._piece
        self._piece = b""
        if not self._has_begun:
            if self._whole is None:  # else it is good
                if reader.malformed:
                    raise _not_an_answer("a body that is no JSON object")
                if reader.refuses:
                    raise _verdict(reader.summary(), reader)
                if not reader.image_begun and len(self._held) + len(piece) <= _HELD_BYTES_MAX:
                    self._held += piece
                    return
            await self._begin()
        if self._held:
            piece, self._held = self._held + piece, b""
        if piece:
            await downstream.write(piece, is_whole=self._whole is not None)


def begin_early(
    downstream: Downstream, request: ImageRequest, bounds: ExchangeBounds, headers: list[tuple[bytes, bytes]]
) -> None:
    """Lets the answer begin while ZenMux is silent: whoever waits in vain for a head cuts the connection, and the image
    is lost."""
    seconds = bounds.keepalive_seconds if request.stream else bounds.early_head_seconds
    if seconds:
        content_type = EVENT_STREAM if request.stream else DOCUMENT
        event_end = no_event_begun if request.stream else None
        all_headers = [(b"content-type", content_type.encode()), *headers]
        downstream.begin_early(EarlyHead(seconds, bounds.keepalive_seconds, all_headers, event_end))


def _verdict(summary: AnswerSummary, reader: AnswerReader) -> UpstreamError:
    """Why an answer is not what was requested."""
    if summary.failure is not None:
        return failure_in_answer(summary.failure, streamed=reader.reads_stream)
    if summary.complete:
        return no_image(summary.remark)
    return UpstreamBroken("ZenMux's answer ended before it was whole.", kind="incomplete")


def _not_an_answer(reason: str) -> UpstreamBroken:
    error = UpstreamBroken("ZenMux answered with something that is not an image answer.", kind="not_an_answer")
    error.reason = reason
    return error
