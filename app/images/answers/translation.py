"""Turns a document into the stream that was asked for, or a stream into the document, while the bytes pass. It must not
keep an image: its text is passed on in the parts in which it comes.
"""

import re
from collections.abc import Callable

import orjson

from app.images.answers.events import EventScanner
from app.images.answers.scanner import JsonScanner, read_word
from app.images.cost.usage import AnswerSummary, Failure, Usage

_LINE_END = re.compile(rb"[\r\n]")
_LOOK = ("background", "output_format", "quality", "size")
_MORE = frozenset({"created", "created_at", *_LOOK})
_BROKEN = "ZenMux sent a document or stream where the other was asked for, and it cannot be translated."
_FAMILIES = {"generation": "image_generation", "edit": "image_edit"}


class _Translation:
    """The common part of both directions. `broken` once an image contains characters that would end its string
    early.
    """

    reads_stream = False
    partials = ()
    fails = True  # its end is inspected in any case

    def __init__(self) -> None:
        self._out: list[bytes | memoryview] = []
        self._image = self._text = 0  # the numbers of the image and of its text that are being passed on
        self._image_count = 0
        self.broken = False

    def _take_text(self, number: int, text: int, part: memoryview) -> None:
        if number != self._image:
            self._out.append(self._between())
            self._image, self._text = number, text
            self._image_count += 1
        elif text != self._text:
            return  # an image with both `url` and `b64_json`: the first one counts
        if self.broken or _LINE_END.search(part):
            self.broken = True
        else:
            self._out.append(part)

    def _between(self) -> bytes:
        raise NotImplementedError

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out


class DocumentAsEvents(_Translation):
    """A document, sent as one `completed` event for each image; the last one has the usage. An AnswerReader for the
    exchange.
    """

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, operation: str, *, images_sent: bool = False) -> None:
        super().__init__()
        self._name = f"{_FAMILIES[operation]}.completed"
        self._scanner = JsonScanner(self._take_image, _MORE, images_sent=images_sent)
        self.read_to = 0

    @property
    def at_boundary(self) -> bool:
        return not self._image

    @property
    def delivers(self) -> bool:
        return self._scanner.ended

    @property
    def image_begun(self) -> bool:
        return self._scanner.image_begun

    @property
    def malformed(self) -> bool:
        return self._scanner.malformed or self.broken

    @property
    def refuses(self) -> bool:
        return self._scanner.failure is not None or (self._scanner.ended and not self._scanner.image_begun)

    def closing(self, field: bytes) -> bytes:
        return b'",' + field + b"}\n\n" if self._image else b""

    def feed(self, data: bytes | bytearray, size: int, start: int, /) -> bytes:
        self.read_to = self._scanner.feed(data, size, start)
        return self._taken()

    def summary(self) -> AnswerSummary:
        return _unless_broken(self._scanner.summary(), broken=self.broken)

    def flush(self) -> bytes:
        if not self._image:
            return b""
        self._image = 0
        return self._end(self._scanner.summary().usage)

    def _take_image(self, chunk: bytes | bytearray, start: int, stop: int) -> None:
        if number := self._scanner.image_number:
            self._take_text(number, self._scanner.text_count, memoryview(chunk)[start:stop])

    def _between(self) -> bytes:
        head = b'event: %b\ndata: {"type":"%b","b64_json":"' % ((self._name.encode(),) * 2)
        return self._end(None) + head if self._image else head

    def _end(self, usage: Usage | None) -> bytes:
        get = self._scanner.get
        return b'",' + _rest("created_at", get("created"), get, usage) + b"\n\n"


class EventsAsDocument(_Translation):
    """A stream, sent as a document that holds its finished images. An AnswerReader for the exchange."""

    reads_stream = True
    content_type = b"application/json"
    closing = None
    at_boundary = False

    def __init__(self, *, images_sent: bool = False) -> None:
        super().__init__()
        self._scanner = EventScanner(self._take_image, _MORE, images_sent=images_sent)

    @property
    def read_to(self) -> int:
        return self._scanner.read_to

    @property
    def delivers(self) -> bool:
        return self._scanner.delivers

    @property
    def image_begun(self) -> bool:
        return self._image > 0

    @property
    def malformed(self) -> bool:
        return self.broken

    @property
    def refuses(self) -> bool:
        return False

    def feed(self, data: bytes | bytearray, size: int, start: int, /) -> bytes:
        self._scanner.feed(data, size, start)
        return self._taken()

    def summary(self) -> AnswerSummary:
        # Not passed on: an image whose kind came after it, and a second image in the same event.
        summary = self._scanner.summary()
        return _unless_broken(summary, broken=self.broken or summary.image_count != self._image_count)

    def flush(self) -> bytes:
        self._scanner.flush()
        summary, get = self._scanner.summary(), self._scanner.last.get
        return b'"}],' + _rest("created", get("created_at"), get, summary.usage)

    def _take_image(self, chunk: bytes | bytearray, start: int, stop: int) -> None:
        self._take_text(self._scanner.image_number, self._scanner.text_count, memoryview(chunk)[start:stop])

    def _between(self) -> bytes:
        return b'"},{"b64_json":"' if self._image else b'{"data":[{"b64_json":"'


def _unless_broken(summary: AnswerSummary, *, broken: bool) -> AnswerSummary:
    return summary._replace(failure=summary.failure or Failure(_BROKEN)) if broken else summary


def _rest(created_name: str, created: object, get: Callable[[str], object], usage: Usage | None) -> bytes:
    """The rest of an object, from its next member on."""
    members: dict[str, object] = {created_name: created if type(created) is int else 0}
    members |= {name: word for name in _LOOK if (word := read_word(get(name))) is not None}
    if usage is not None:
        members["usage"] = {
            "total_tokens": usage.total_tokens,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "input_tokens_details": {
                "text_tokens": usage.input_text_tokens,
                "image_tokens": usage.input_image_tokens,
            },
            "output_tokens_details": {
                "text_tokens": usage.output_text_tokens,
                "image_tokens": usage.output_image_tokens,
            },
        }
    return orjson.dumps(members)[1:]
