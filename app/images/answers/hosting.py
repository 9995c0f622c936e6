"""Finds the images in an answer whose caller wants links to them, while its bytes pass: what is text, what is image,
and where a link belongs. Keeps no image. Its input is an answer as the caller would get it without links.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from app.images.answers.base64_text import Base64Text
from app.images.answers.json_fields import FieldScanner

_KEY = re.compile(rb'"b64_json"[ \t\r\n]*:[ \t\r\n]*"\Z')
_KEY_BYTES_MAX = 64  # a member's beginning is looked for in so much text
_PREFIX = b"data:"
_NAME_BYTES_MAX = 256


class ImageMark(Enum):
    """A place in an answer. `BEGIN` and `END` are around an image; a document's text leaves out the member `b64_json`
    between them. `LINK` is where an event takes one more member; it has the image that ended last. `DROP`: that image
    is not a finished one.
    """

    BEGIN = auto()
    END = auto()
    LINK = auto()
    DROP = auto()


class ImageBytes(NamedTuple):
    """A part of an image."""

    data: bytes


class Undecodable(NamedTuple):
    """A part of an image's text, as it came: it is no base64."""

    text: bytes


Piece = bytes | ImageBytes | Undecodable | ImageMark
"""A part of an answer; `bytes` are text."""


class _Images:
    """Decodes the images of one answer, one after the other."""

    def __init__(self) -> None:
        self._text: Base64Text | None = None
        self._is_bad = False

    @property
    def is_open(self) -> bool:
        return self._text is not None

    def begin(self) -> Iterator[Piece]:
        self._text, self._is_bad = Base64Text(), False
        yield ImageMark.BEGIN

    def feed(self, part: bytes | bytearray) -> Iterator[Piece]:
        assert self._text is not None
        if self._is_bad:
            yield Undecodable(bytes(part))
            return
        try:
            decoded = self._text.decode(part)
        except ValueError:
            self._is_bad = True
            yield Undecodable(self._text.rest)
            return
        if decoded:
            yield ImageBytes(decoded)

    def end(self) -> Iterator[Piece]:
        assert self._text is not None
        if not self._is_bad and not self._text.is_whole:
            yield Undecodable(self._text.rest)
        self._text = None
        yield ImageMark.END


class _Ranges:
    """Where in the chunk that is being read the texts of images are, and which of them begin there."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, int]] = []  # start, stop, the number of the text

    def note(self, start: int, stop: int, text: int) -> None:
        if self.found and self.found[-1][1] == start and self.found[-1][2] == text:
            start = self.found.pop()[0]
        self.found.append((start, stop, text))

    def taken(self) -> list[tuple[int, int, int]]:
        found, self.found = self.found, []
        return found


class DocumentImages:
    """Reads a JSON document. Call `flush` at its end."""

    def __init__(self) -> None:
        self._ranges = _Ranges()
        self._scanner = FieldScanner(frozenset(), on_image=self._note)
        self._images = _Images()
        self._number = 0  # of the text that was read last
        self._held = bytearray()  # text in which a member may begin

    def feed(self, data: bytes | bytearray | memoryview) -> list[Piece]:
        """The pieces of `data`; a little text is held back."""
        if not data:
            return []
        chunk, at, sent = bytes(data), 0, 0
        while at < len(chunk) and not self._scanner.broken:
            at = self._scanner.feed(chunk, at)
        pieces: list[Piece] = []
        ranges = self._ranges.taken()
        if self._images.is_open and not (ranges and ranges[0][0] == 0 and ranges[0][2] == self._number):
            pieces += self._images.end()
            sent = 1  # its closing quote is part of the member
        for start, stop, number in ranges:
            if number != self._number:
                self._number = number
                self._held += chunk[sent:start]
                sent = start
                pieces += self._begin()
            if self._images.is_open:
                pieces += self._images.feed(chunk[start:stop])
                sent = stop
                if stop < len(chunk):
                    pieces += self._images.end()
                    sent = stop + 1
        self._held += chunk[sent:]
        passes = len(self._held) - _KEY_BYTES_MAX
        if passes > 0:
            pieces.append(bytes(self._held[:passes]))
            del self._held[:passes]
        return pieces

    def flush(self) -> list[Piece]:
        """What was held back."""
        pieces = list(self._images.end()) if self._images.is_open else []
        held, self._held = bytes(self._held), bytearray()
        return [*pieces, held] if held else pieces

    def _begin(self) -> Iterator[Piece]:
        member = _KEY.search(self._held, max(0, len(self._held) - _KEY_BYTES_MAX))
        if member is None:
            return  # a `url` of ZenMux's own
        if member.start():
            yield bytes(self._held[: member.start()])
        self._held.clear()
        yield from self._images.begin()

    def _note(self, _: bytes | bytearray, start: int, stop: int) -> None:
        self._ranges.note(start, stop, self._scanner.text_count)


class EventImages:
    """Reads an event stream. Its text is the whole stream, images too."""

    def __init__(self) -> None:
        self._ranges = _Ranges()
        self._images = _Images()
        self._line = bytearray()  # the beginning of a line that is not known to be data
        self._in_data = False
        self._after_cr = False
        self._name = b""
        self._event: FieldScanner | None = None
        self._has_image = False  # an image of this event was begun, and is neither linked nor dropped
        self._sent = 0  # how much of the chunk is among the pieces
        self._pieces: list[Piece] = []

    def feed(self, data: bytes | bytearray | memoryview) -> list[Piece]:
        """The pieces of `data`, all of it."""
        chunk, at, self._sent = bytes(data), 0, 0
        while at < len(chunk):
            if self._after_cr and chunk[at : at + 1] == b"\n":
                self._after_cr = False
                at += 1
                continue
            self._after_cr = False
            ends = [end for end in (chunk.find(b"\n", at), chunk.find(b"\r", at)) if end >= 0]
            end = min(ends, default=len(chunk))
            self._read(chunk, at, end)
            if ends:
                self._after_cr = chunk[end : end + 1] == b"\r"
                self._end_line()
            at = end + 1
        self._pass(chunk, len(chunk))
        pieces, self._pieces = self._pieces, []
        return pieces

    def flush(self) -> list[Piece]:
        """An image whose event was cut is dropped."""
        self._end_event()
        pieces, self._pieces = self._pieces, []
        return pieces

    def _read(self, chunk: bytes, at: int, end: int) -> None:
        if not self._in_data:
            cut = min(end, at + max(0, len(_PREFIX) - len(self._line)))
            self._line += chunk[at:cut]
            at = cut
            self._in_data = bytes(self._line) == _PREFIX
        if not self._in_data:
            self._line += chunk[at : min(end, at + _NAME_BYTES_MAX - len(self._line))]
            return
        if self._event is None:
            self._event = FieldScanner(frozenset({"type"}), on_image=self._note)
        self._scan(self._event, chunk, at, end)

    def _scan(self, event: FieldScanner, chunk: bytes, at: int, end: int) -> None:
        start, was_closed = at, event.closed
        while at < end and not event.broken:
            at = event.feed(chunk, at, end)
        ranges = self._ranges.taken()
        if self._images.is_open and not (ranges and ranges[0][0] == start):
            self._pieces += self._images.end()
        for first, stop, _ in ranges:
            if not self._images.is_open and not self._has_image and not self._kind().endswith(".partial_image"):
                self._has_image = True
                self._pieces += self._images.begin()
            if self._images.is_open:
                self._pieces += self._images.feed(chunk[first:stop])
                if stop < end:
                    self._pieces += self._images.end()
        if event.closed and not was_closed and self._has_image:
            self._has_image = False
            if not self._kind().endswith(".completed"):
                self._pieces.append(ImageMark.DROP)
                return
            self._pass(chunk, start + len(chunk[start:end].rstrip()) - 1)
            self._pieces.append(ImageMark.LINK)

    def _kind(self) -> str:
        kind = None if self._event is None else self._event.get("type")
        return kind if isinstance(kind, str) else self._name.decode("utf-8", "replace")

    def _end_line(self) -> None:
        line, in_data = bytes(self._line), self._in_data
        self._line.clear()
        self._in_data = False
        if in_data:
            if self._event is not None:
                self._event.feed(b"\n")  # the data lines of one event are one text
        elif not line:
            self._end_event()
        elif line.startswith(b"event:"):
            self._name = line.removeprefix(b"event:").strip()

    def _end_event(self) -> None:
        if self._images.is_open:
            self._pieces += self._images.end()
        if self._has_image:
            self._has_image = False
            self._pieces.append(ImageMark.DROP)
        self._event, self._name = None, b""

    def _pass(self, chunk: bytes, to: int) -> None:
        if to > self._sent:
            self._pieces.append(chunk[self._sent : to])
            self._sent = to

    def _note(self, _: bytes | bytearray, start: int, stop: int) -> None:
        self._ranges.note(start, stop, 0)
