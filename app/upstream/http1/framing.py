"""HTTP/1.1 answers as bytes: what a head says, where a body ends, which bytes belong to it.

Pure. httptools reads heads. Bodies are unframed in place, because a callback per piece would cost a copy more.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import httptools

_HEAD_BYTES_MAX = 65_536
_HEADERS_MAX = 200
_INTERIM_MAX = 100  # interim answers (1xx) before the one that counts
_LINE_BYTES_MAX = 4_096  # the size of a chunk with its extensions, or one trailer
_TRAILER_BYTES_MAX = 16_384
_VERSIONS = ("1.0", "1.1")
_OF_THE_BODY = frozenset({b"content-length", b"transfer-encoding"})
_BEGINNING = b"HTTP/1."
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
# What stands between two chunks of nearly every server. Finding it at once makes chunked framing cheap.
_PLAIN_CHUNK_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})\r\n")


class Malformed(Exception):
    """This is not an HTTP/1.1 answer, or different readers would find its end in different places."""


class Body(Protocol):
    """Where a body ends. `complete` once all of it came, `surplus` if more came than belongs to it.

    `fault` says why it will never be complete. What came before the fault is still returned.
    """

    complete: bool
    surplus: bool
    fault: str

    def feed(self, data: bytearray, size: int) -> int:
        """Moves the body's bytes among the first `size` bytes of `data` to its beginning. Returns how many there
        are.
        """
        ...

    def end(self) -> None:
        """The connection ended in good order."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status and headers. `keeps` if the server allows the connection to be used again."""

    status: int
    headers: list[tuple[bytes, bytes]]
    keeps: bool
    body: Body


def take_head(data: bytes, method: str) -> tuple[Head | None, bytes]:
    """The answer's head at the beginning of `data`, and the bytes after it. None while the head is not complete.

    Interim answers are skipped. While no other answer has come, they are part of what is returned, so that their number
    and size are bounded. Raises Malformed as soon as `data` cannot become a head.
    """
    at = interim_count = 0
    while (end := data.find(b"\r\n\r\n", at, _HEAD_BYTES_MAX)) >= 0:
        end += 4
        head = _read(data[at:end], method)
        if head.status >= 200:
            return head, data[end:]
        at = end
        interim_count += 1
        if interim_count > _INTERIM_MAX:
            raise Malformed("There are too many interim answers.")
    if len(data) >= _HEAD_BYTES_MAX:
        raise Malformed("The headers are too large.")
    if not _BEGINNING.startswith(data[at : at + len(_BEGINNING)]) or _BARE_LINE_FEED.search(data, at):
        raise Malformed("This is no HTTP/1.1 answer.")
    return None, data


class _Reader:
    """What httptools reports of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.keeps = False
        self.parser: httptools.HttpResponseParser | None = None

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value.rstrip()))  # httptools leaves trailing blanks

    def on_headers_complete(self) -> None:
        # A parser that has reached the end of an empty body gives wrong answers later.
        self.keeps = self.parser is not None and self.parser.should_keep_alive()


def _read(text: bytes, method: str) -> Head:
    if not text.startswith(_BEGINNING):
        raise Malformed("This is no HTTP/1.1 answer.")
    if text.count(b"\r\n") > _HEADERS_MAX:
        raise Malformed("There are too many headers.")
    reader = _Reader()
    reader.parser = parser = httptools.HttpResponseParser(reader)
    try:
        parser.feed_data(text)
    except httptools.HttpParserUpgrade as error:
        raise Malformed("Nobody asked to switch protocols.") from error
    except httptools.HttpParserError as error:
        raise Malformed(f"{error}.") from error
    finally:
        reader.parser = None  # break the cycle reader → parser → reader
    status, version = parser.get_status_code(), parser.get_http_version()
    if status < 100 or version not in _VERSIONS or _CONTROL.search(reader.reason):
        raise Malformed("This is no HTTP/1.1 answer.")
    by_name = _framing_headers(reader.headers)
    if method == "HEAD" or status in (204, 304) or status < 200:
        body: Body = Sized(0)
    elif b"transfer-encoding" in by_name:
        if by_name[b"transfer-encoding"].lower() != b"chunked" or version == "1.0":
            raise Malformed("The transfer encoding is not just chunked.")
        body = Chunked()
    elif b"content-length" in by_name:
        body = Sized(int(by_name[b"content-length"]))
    else:
        body = UntilEnd()
    return Head(status, reader.headers, reader.keeps, body)


def _framing_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """What the headers say of the body. Repeated headers are joined. Content-Length is there once or not at all;
    httptools ensures that.
    """
    by_name: dict[bytes, bytes] = {}
    for name, value in headers:
        if (key := name.lower()) in _OF_THE_BODY:
            by_name[key] = b"%b,%b" % (by_name[key], value) if key in by_name else value
    return by_name


class Sized:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self.complete = length == 0
        self.surplus = False
        self.fault = ""

    def feed(self, data: bytearray, size: int) -> int:  # noqa: ARG002 - it lies right already
        if size >= self._missing:
            self.surplus = self.surplus or size > self._missing
            self.complete = True
            size = self._missing
        self._missing -= size
        return size

    def end(self) -> None:
        if not self.complete:
            self.fault = "The connection ended before the body did."


class UntilEnd:
    """A body that ends when the connection does."""

    def __init__(self) -> None:
        self.complete = False
        self.surplus = False
        self.fault = ""

    def feed(self, data: bytearray, size: int) -> int:  # noqa: ARG002 - all of it is the body's
        return size

    def end(self) -> None:
        self.complete = True


class _Line(Enum):
    """Which line comes next in a chunked body."""

    SIZE = auto()
    AFTER_CHUNK = auto()
    TRAILER = auto()


class Chunked:
    """A body in chunks. Extensions and trailers are read and dropped."""

    def __init__(self) -> None:
        self._missing = 0  # of the current chunk
        self._next = _Line.SIZE
        self._line = b""  # what has come of a line
        self._trailer_bytes = 0
        self.complete = False
        self.surplus = False
        self.fault = ""

    def feed(self, data: bytearray, size: int) -> int:
        view, at, filled = memoryview(data), 0, 0
        while at < size and not self.complete and not self.fault:
            if self._missing:
                end = min(at + self._missing, size)
                if at != filled:
                    view[filled : filled + end - at] = view[at:end]
                filled += end - at
                self._missing -= end - at
                at = end
                if self._missing:
                    break
                self._next = _Line.AFTER_CHUNK
                plain = _PLAIN_CHUNK_SIZE.match(data, at, size)
                if plain is not None and (length := int(plain[1], 16)):
                    self._missing, at = length, plain.end()
            else:
                at = self._read_line(data, at, size)
        self.surplus = self.surplus or (self.complete and at < size)
        return filled

    def end(self) -> None:
        if not self.complete:
            self.fault = "The connection ended before the body did."

    def _read_line(self, data: bytearray, at: int, size: int) -> int:
        """Takes a line, or the part of it that is there. Returns where the next one begins."""
        end = data.find(b"\n", at, size) + 1
        self._line += data[at : end or size]
        if len(self._line) > _LINE_BYTES_MAX:
            self.fault = "A line between chunks is too long."
        elif end:
            line, self._line = self._line, b""
            self._take_line(line)
        return end or size

    def _take_line(self, line: bytes) -> None:
        match self._next:
            case _Line.AFTER_CHUNK:
                self._next = _Line.SIZE
                if line != b"\r\n":
                    self.fault = "A chunk is longer than it says."
            case _Line.SIZE:
                size = _CHUNK_SIZE.fullmatch(line)
                if size is None:
                    self.fault = "A chunk does not tell its size."
                elif not (missing := int(size[1], 16)):
                    self._next = _Line.TRAILER
                else:
                    self._missing = missing
            case _Line.TRAILER:
                self._trailer_bytes += len(line)
                if line == b"\r\n":
                    self.complete = True
                elif not line.endswith(b"\r\n") or self._trailer_bytes > _TRAILER_BYTES_MAX:
                    self.fault = "The trailers are not well-formed."
