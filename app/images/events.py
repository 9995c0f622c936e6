"""Reads usage, image count and failures out of a passing event stream (SSE), and withholds its failure events.

Everything else goes out byte for byte and as it arrives: an event is held back only until its kind is known, and
never more than HELD_BYTES_MAX of it. It must not keep, copy or decode a picture.
"""

from enum import Enum, auto

from app.images.json_fields import FieldScanner
from app.images.scanner import read_failure
from app.images.usage import Failure, Reading, Usage, parse_usage

HELD_BYTES_MAX = 16_384  # an event of unknown kind passes once it is longer
_LINE_BYTES_MAX = 256  # of a line that is not data; a longer one says nothing that matters here
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DATA = b"data:"
_FIELDS = frozenset({"type", "usage", "error", "message", "code", "param"})
_GOOD = (".partial_image", ".completed")  # image_generation.…, image_edit.…
_BAD = ("error", "failed")  # error, proxy_error, image_generation.failed, image_generation.partial_failed


class _Fate(Enum):
    """What becomes of an event's bytes."""

    HOLD = auto()
    PASS = auto()
    DROP = auto()


class _Event:
    """One event: its name, what its data told so far, and its fate. A comment between events counts as one."""

    def __init__(self) -> None:
        self.fate = _Fate.HOLD
        self.ended = False
        self.bytes_count = 0
        self.has_fields = False  # a line that is no comment has come
        self.name = ""
        self.data: FieldScanner | None = None

    def set_name(self, name: str) -> None:
        self.name = name
        self._decide(name)

    def begin_data(self) -> FieldScanner:
        """The scanner that reads the data line about to come."""
        if self.data is None:
            self.data = FieldScanner(_FIELDS, self._take_field)
        else:
            self.data.feed(b"\n")  # the lines of one event's data are one text
        return self.data

    def is_whole(self) -> bool:
        """Whether its data is a whole JSON object."""
        return self.data is not None and self.data.closed

    def is_completed(self) -> bool:
        """Whether its data is whole and carries a finished picture."""
        return self.is_whole() and (self._type() or self.name).endswith(".completed") and not self.failure()

    def usage(self) -> Usage | None:
        return parse_usage(self._get("usage"))

    def failure(self) -> Failure | None:
        """The failure this event tells, in whatever shape; None if it tells none."""
        told = read_failure(self._get("error"))
        kind = self._type()
        if told is None and (self.name.endswith(_BAD) or kind.endswith(_BAD)):
            flat = {name: self._get(name) for name in ("message", "type", "code", "param")}
            if kind == "error" or "." in kind:
                flat["type"] = None  # the event's type, not the error's
            told = read_failure(flat)
        return told

    def end(self) -> None:
        self.ended = True
        if self.data is not None:
            self.data.mute()
        if self.fate is _Fate.HOLD:
            self.fate = _Fate.DROP if self.failure() else _Fate.PASS

    def _take_field(self, name: str) -> None:
        if name == "type":
            self._decide(self._type())
        elif name == "error" and self.fate is _Fate.HOLD and read_failure(self._get("error")):
            self.fate = _Fate.DROP

    def _decide(self, kind: str) -> None:
        if self.fate is _Fate.HOLD and kind.endswith(_GOOD):
            self.fate = _Fate.PASS
        elif self.fate is _Fate.HOLD and kind.endswith(_BAD):
            self.fate = _Fate.DROP

    def _get(self, name: str) -> object:
        return None if self.data is None else self.data.get(name)

    def _type(self) -> str:
        kind = self._get("type")
        return kind if isinstance(kind, str) else ""


class EventScanner:
    """Reads an Images answer that is an event stream. Holds under 64 KiB, whatever the size of the answer.

    What it puts out and what it reads depend on the bytes alone, never on where they are cut into chunks.
    """

    def __init__(self) -> None:
        self._event = _Event()
        self._held = bytearray()  # bytes of the current event that came in earlier chunks
        self._mark_bytes = 0  # of the byte order mark that may begin the stream
        self._line = bytearray()  # the beginning of the current line, up to where it turns out to be data
        self._data: FieldScanner | None = None  # reads the current line, if that is data
        self._after_cr = False  # a line feed that comes next belongs to the same line end
        self._image_count = 0
        self._usage: Usage | None = None
        self._failure: Failure | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether what was put out so far ends between two events, so that a comment or event may follow."""
        return self._event.fate is not _Fate.PASS

    @property
    def complete(self) -> bool:
        """Whether a finished picture has come whole: the data of a `*.completed` event."""
        return self._image_count > 0 or self._event.is_completed()

    def closing(self) -> bytes | None:
        """What to put out so that `,"error":{…}}` and an empty line may follow, where the stream was cut in an event.

        It completes the text of the event's data up to a last field; where there is no such place, it ends the
        event, and what follows is a line that SSE readers skip. None between events.
        """
        if self.at_boundary:
            return None
        text = self._event.data.closing() if self._event.data else None
        if text is None:
            return b"\n\n"
        if self._data is not None and not self._after_cr:
            return text
        return (b"\ndata:" if self._line else b"data:") + text

    def feed(self, data: bytes | bytearray, size: int | None = None) -> bytes | memoryview:
        """Takes the next bytes, the first `size` of `data` or all. Returns what may go out now: a view of `data` itself
        where it can be had without a copy."""
        size = len(data) if size is None else size
        view, out = memoryview(data), list[bytes | memoryview]()
        pass_from = event_from = at = 0  # data[pass_from:event_from] passes, the current event's bytes follow
        while at < size:
            event, stop = self._event, size
            if event.fate is _Fate.HOLD:
                stop = min(stop, at + HELD_BYTES_MAX - event.bytes_count)
            line_end = self._read_line(data, at, stop)
            event.bytes_count += line_end - at
            at = line_end
            if event.fate is _Fate.HOLD and event.bytes_count >= HELD_BYTES_MAX:
                event.fate = _Fate.PASS
            if event.fate is not _Fate.HOLD and self._held:
                out.append(self._release())
            if event.ended:
                if event.fate is _Fate.DROP:
                    out.append(view[pass_from:event_from])
                    pass_from = at
                event_from = at
                self._event = _Event()
        out.append(view[pass_from : size if self._event.fate is _Fate.PASS else event_from])
        if self._event.fate is _Fate.HOLD:
            self._held += view[event_from:size]
        return out[0] if len(out) == 1 else b"".join(out)

    def flush(self) -> bytes:
        """Call last, when the stream has ended: what was still held, and the line end that a whole event lacks."""
        event, line_is_open = self._event, bool(self._line) or self._after_cr
        if line_is_open:
            self._after_cr = False
            self._end_line()
        is_cut = event.bytes_count > 0 and not event.ended
        if is_cut:
            self._end_event()
        tail = self._release()
        if is_cut and event.fate is _Fate.PASS:
            if not event.is_whole():
                return tail
            tail += b"\n\n" if line_is_open else b"\n"
        self._event = _Event()
        return tail

    def finish(self) -> Reading:
        """What was read so far; reading may go on. Usage is the sum over completed events.

        A failure may be told beside a completed event; of several failures it is the first.
        """
        count, usage, failure = self._totals_with(self._event)
        return Reading(complete=count > 0, image_count=count, usage=usage, failure=failure)

    def _release(self) -> bytes:
        """The held bytes of an event whose fate is now known: nothing, if it is dropped."""
        held = bytes(self._held) if self._event.fate is _Fate.PASS else b""
        self._held.clear()
        return held

    def _read_line(self, chunk: bytes | bytearray, at: int, stop: int) -> int:
        """Reads to the end of the line, or to `stop`; returns where it stands."""
        if self._after_cr:
            self._after_cr = False
            self._end_line()
            return at + 1 if chunk.startswith(b"\n", at) else at
        if self._mark_bytes < len(_BYTE_ORDER_MARK):
            if chunk[at] == _BYTE_ORDER_MARK[self._mark_bytes]:
                self._mark_bytes += 1
                return at + 1
            self._mark_bytes = len(_BYTE_ORDER_MARK)
        feed = chunk.find(b"\n", at, stop)
        carriage = chunk.find(b"\r", at, stop if feed < 0 else feed)
        end = max(feed, carriage) if min(feed, carriage) < 0 else carriage
        self._take(chunk, at, stop if end < 0 else end)
        if end < 0:
            return stop
        if end == carriage:
            self._after_cr = True
        else:
            self._end_line()
        return end + 1

    def _take(self, chunk: bytes | bytearray, at: int, end: int) -> None:
        """A part of a line, without its end."""
        if self._data is None and len(self._line) < len(_DATA):
            cut = min(end, at + len(_DATA) - len(self._line))
            self._line += chunk[at:cut]
            at = cut
            if self._line.startswith(b":") and not self._event.has_fields:
                self._event.fate = _Fate.PASS
            if self._line == _DATA:
                self._event.has_fields = True
                self._data = self._event.begin_data()
        if self._data is not None:
            self._data.feed(chunk, at, end)
        else:
            self._line += chunk[at : min(end, at + _LINE_BYTES_MAX - len(self._line))]

    def _end_line(self) -> None:
        line, event = bytes(self._line), self._event
        self._line.clear()
        self._data = None
        if not line or (line.startswith(b":") and not event.has_fields):
            self._end_event()
        elif not line.startswith(b":"):
            event.has_fields = True
            name, _, value = line.partition(b":")
            if name == b"event":
                event.set_name(value.decode("utf-8", "replace").removeprefix(" "))

    def _end_event(self) -> None:
        self._image_count, self._usage, self._failure = self._totals_with(self._event)
        self._event.end()

    def _totals_with(self, event: _Event) -> tuple[int, Usage | None, Failure | None]:
        """Image count, usage and failure of the stream, with what `event` tells."""
        count, usage = self._image_count, self._usage
        if event.is_completed():
            usage = event.usage() if count == 0 else _sum(usage, event.usage())
            count += 1
        return count, usage, self._failure or event.failure()


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return None
    return Usage(
        first.input_text_tokens + second.input_text_tokens,
        first.input_image_tokens + second.input_image_tokens,
        first.output_text_tokens + second.output_text_tokens,
        first.output_image_tokens + second.output_image_tokens,
    )
