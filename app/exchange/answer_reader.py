"""How an answer is read and passed on: one interface for documents and event streams, passed on as they are or
translated. Reads nothing itself: app/images does.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.images.answers.events import EventScanner
from app.images.answers.scanner import JsonScanner
from app.images.answers.translation import DocumentAsEvents, EventsAsDocument
from app.images.cost.usage import AnswerSummary
from app.images.request.normalize import ImageRequest

EVENT_STREAM = "text/event-stream"
DOCUMENT = "application/json"


class AnswerReader(Protocol):
    """`feed` gives what may be sent of data[start:size], up to `read_to`; `flush` what may be sent at the end.

    An answer is not sent before `image_begun`, and not at all once it `refuses` or is `malformed`. `closing` completes
    a cut event of a stream; it is None for a document, which has no place for an error once it has begun. `delivers`
    once an image came whole. `content_type` is set if the answer sent has another type than the answer received.
    """

    @property
    def reads_stream(self) -> bool: ...
    @property
    def content_type(self) -> bytes | None: ...
    @property
    def closing(self) -> Callable[[bytes], bytes] | None: ...
    @property
    def fails(self) -> bool:
        """Whether a failure was reported, even after an image that came whole."""
        ...

    @property
    def read_to(self) -> int: ...
    @property
    def at_boundary(self) -> bool: ...
    @property
    def delivers(self) -> bool: ...
    @property
    def partials(self) -> Sequence[int]:
        """The bytes of each event that brought a partial image whole, of a stream that is passed on as it is."""
        ...

    @property
    def image_begun(self) -> bool: ...
    @property
    def malformed(self) -> bool: ...
    @property
    def refuses(self) -> bool: ...

    def feed(self, data: bytes | bytearray, size: int, start: int, /) -> bytes | memoryview: ...
    def summary(self) -> AnswerSummary: ...
    def flush(self) -> bytes: ...


def answer_reader(content_type: str, request: ImageRequest) -> AnswerReader | None:
    """The reader for an answer of that type; None if it is not an images answer."""
    images_sent = request.input_image_count > 0
    if content_type == EVENT_STREAM:
        return EventReader(images_sent=images_sent) if request.stream else EventsAsDocument(images_sent=images_sent)
    if content_type == DOCUMENT and request.stream:
        return DocumentAsEvents(request.operation, images_sent=images_sent)
    return DocumentReader(images_sent=images_sent) if content_type == DOCUMENT else None


class DocumentReader:
    """A document that is passed on as it is."""

    reads_stream = False
    content_type = None
    closing = None
    at_boundary = False
    partials = ()

    def __init__(self, *, images_sent: bool = False) -> None:
        self._scanner = JsonScanner(images_sent=images_sent)
        self.read_to = 0

    @property
    def delivers(self) -> bool:
        return self._scanner.ended

    @property
    def image_begun(self) -> bool:
        return self._scanner.image_begun

    @property
    def malformed(self) -> bool:
        return self._scanner.malformed

    @property
    def refuses(self) -> bool:
        return self._scanner.failure is not None or (self._scanner.ended and not self._scanner.image_begun)

    @property
    def fails(self) -> bool:
        return self._scanner.failure is not None

    def feed(self, data: bytes | bytearray, size: int, start: int, /) -> bytes | memoryview:
        self.read_to = self._scanner.feed(data, size, start)
        return memoryview(data)[start : self.read_to]

    def summary(self) -> AnswerSummary:
        return self._scanner.summary()

    def flush(self) -> bytes:
        return b""


class EventReader(EventScanner):
    """An event stream that is passed on as it is, except what EventScanner removes. It begins at once, and errors are
    reported in it.
    """

    reads_stream = True
    content_type = None
    image_begun = True
    malformed = False
    refuses = False
