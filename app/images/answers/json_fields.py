"""Captures a few fields of one JSON object while its bytes pass, in constant memory, however they are cut.

It follows the structure of the document and jumps over strings; what stands inside a skipped string is not checked.
It must not keep, copy or decode an image.
"""

import re
from collections.abc import Callable

from app.images.answers.json_values import SCALAR_GRAMMAR, decode, decode_key, match_end, rest_of_escape, rest_of_scalar

STEPS_MAX = 4096  # of one `feed`: some milliseconds, so that no answer blocks the event loop
VALUE_BYTES_MAX = 4096  # a captured value longer than this counts as unreadable
_KEY_BYTES_MAX = 48  # eight letters, each written as \uXXXX: every key that is needed fits
_SCALAR_BYTES_MAX = 512
DEPTH_MAX = 100

# What may come next, as the set of bytes it may begin with.
_DOCUMENT = b"{"
_KEY = b'"'
_KEY_OR_END = b'"}'
_COLON = b":"
_VALUE = b'"{[-0123456789tfn'
_VALUE_OR_END = _VALUE + b"]"
_COMMA_OR_END = {0x7B: b",}", 0x5B: b",]"}  # by the bracket that is open
_NOTHING = b""
# What is missing before a comma may follow: closing() adds it.
_MISSING = {
    _DOCUMENT: b'{"cut":null',
    _KEY: b'"cut":null',
    _KEY_OR_END: b'"cut":null',
    _COLON: b":null",
    _VALUE: b"null",
}

_QUOTE, _BACKSLASH, _COMMA, _OBJECT, _ARRAY = b'"\\,{['
_CLOSERS = {_OBJECT: 0x7D, _ARRAY: 0x5D}
_BLANKS = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]*")
_IMAGE_KEYS = frozenset({"b64_json", "url"})
OnImage = Callable[[bytes | bytearray, int, int], None]
OnField = Callable[[str, int, int], None]


class FieldScanner:
    """Captures the named fields of one JSON object, however its bytes are cut, and counts the images in its `data`.

    `on_field(name, start, end)` is called when a named field ends: in document order, and at the same byte however the
    chunks are cut. Its value is [start:end] of the current chunk; negative places are in earlier chunks. As in
    json.loads, the last of equal keys wins. `on_image(chunk, start, stop)` is called with each part of the text of an
    image, in an object of `data` or in the document itself, before any later field.
    """

    def __init__(self, names: frozenset[str], on_field: OnField | None = None, on_image: OnImage | None = None) -> None:
        self.image_count = 0
        self.has_image = False  # directly in the document
        self.image_begun = False
        self.steps = 0  # taken so far
        self.text_count = 0  # of images begun
        self.closed = False  # a whole object was read, and nothing but blanks after it
        self.broken = False  # malformed: nothing more is read
        self._names = names
        self._on_field = on_field
        self._on_image = on_image
        self._is_image_text = False  # the string being read is an image's
        self._has_text = False  # and is not empty
        self._values: dict[str, bytearray | None] = {}  # undecoded; None was too long
        self._next = _DOCUMENT
        self._open = bytearray()  # the brackets that are open
        self._in_string = False
        self._in_key = False
        self._escaping = False  # the last chunk ended on a backslash that escapes what comes
        self._string_tail = b""  # the last bytes of the string being read
        self._scalar: bytearray | None = None  # the number or word being read
        self._field = ""  # the current key of the document
        self._in_image = False  # directly in an object of the array `data`
        self._image_key = ""  # the current key of that object
        self._image_has: set[str] = set()  # the image keys of that object that carry a value
        self._captured: bytearray | None = None
        self._capture_max = 0
        self._capture_from = 0  # where in the current chunk the capture goes on

    def get(self, name: str) -> object:
        """The value of a named field; None if it did not come or is null."""
        return decode(self._values[name]) if name in self._values else None

    def bytes_of(self, name: str) -> int:
        """How much of that field's value has come, while it is being read and may still be captured; 0 elsewhere."""
        if self._captured is None or self.broken or self._field != name or self._capture_max != VALUE_BYTES_MAX:
            return 0
        return len(self._captured) if len(self._captured) <= VALUE_BYTES_MAX else 0

    @property
    def image_number(self) -> int:
        """The number of the image in `data` that is being read, from 1; 0 elsewhere."""
        return self.image_count + 1 if self._in_image else 0

    def mute(self) -> None:
        """Reports no more fields. Drops the callback: its owner usually holds this scanner, which would be a reference
        cycle.
        """
        self._on_field = self._on_image = None

    @property
    def begun(self) -> bool:
        """Whether anything but blanks has come."""
        return self._next != _DOCUMENT or self.broken

    def feed(
        self, chunk: bytes | bytearray, start: int = 0, stop: int | None = None, steps_max: int = STEPS_MAX
    ) -> int:
        """Reads chunk[start:stop], at most STEPS_MAX steps. Returns where it stopped.

        Malformed input raises nothing: the document never becomes `closed`.
        """
        stop = len(chunk) if stop is None else stop
        self._capture_from = start
        last_step = self.steps + steps_max
        while start < stop and not self.broken and self.steps < last_step:
            self.steps += 1
            if self._in_string:
                start = self._read_string(chunk, start, stop)
            elif self._scalar is not None:
                start = self._read_scalar(self._scalar, chunk, start, stop)
            else:
                start = self._read_mark(chunk, start, stop)
        if self.broken:
            return stop
        if self._captured is not None:
            self._keep(self._captured, chunk, start)
        return start

    def closing(self) -> bytes | None:
        """What completes the text read so far up to a last field, so that `,"name":value}` may follow it.

        None if the text is whole already, or malformed.
        """
        if self.broken or self.closed:
            return None
        if self._in_string:
            rest = b"\\" if self._escaping else rest_of_escape(self._string_tail)
            end = rest + (b'":null' if self._in_key else b'"')
        elif self._scalar is not None:
            end = rest_of_scalar(bytes(self._scalar))
        else:
            end = _MISSING.get(self._next, b"")
        return end + bytes(_CLOSERS[bracket] for bracket in reversed(self._open[1:]))

    def _read_string(self, chunk: bytes | bytearray, start: int, stop: int) -> int:
        """Jumps to the end of a string. The images pass here."""
        begin = start
        if self._escaping:
            self._escaping = False
            start += 1
        quote = chunk.find(b'"', start, stop)
        end = stop if quote < 0 else quote
        escaped = False
        if end > start and chunk[end - 1] == _BACKSLASH:
            escaped = (end - start - len(chunk[start:end].rstrip(b"\\"))) % 2 == 1
        if self._is_image_text and (end > begin or escaped):
            self._see_image(chunk, begin, end + 1 if quote >= 0 and escaped else end)
        if quote < 0:
            self._escaping = escaped
            self._string_tail = (self._string_tail + chunk[max(begin, stop - 5) : stop])[-5:]
            return stop
        if not escaped:
            self._in_string = False
            if self._in_key:
                self._end_key(chunk, quote)
            else:
                self._end_value(chunk, quote + 1)
        return quote + 1

    def _see_image(self, chunk: bytes | bytearray, start: int, stop: int) -> None:
        if not self._has_text:
            self._has_text = self.image_begun = True
            self.text_count += 1
        if self._on_image is not None:
            self._on_image(chunk, start, stop)

    def _read_scalar(self, scalar: bytearray, chunk: bytes | bytearray, start: int, stop: int) -> int:
        """A number, true, false or null: it ends where something else begins, perhaps in the next chunk."""
        end = match_end(_SCALAR, chunk, start, stop)
        if len(scalar) + end - start > _SCALAR_BYTES_MAX:
            return self._break()
        scalar += chunk[start:end]
        if end < stop:
            if not SCALAR_GRAMMAR.fullmatch(scalar):
                return self._break()
            self._scalar = None
            self._end_value(chunk, end)
        return end

    def _read_mark(self, chunk: bytes | bytearray, start: int, stop: int) -> int:
        """A bracket, comma, colon, or the beginning of a key or value."""
        mark = chunk[start]
        if mark <= 0x20:
            blanks_end = match_end(_BLANKS, chunk, start, stop)
            return blanks_end if blanks_end > start else self._break()
        expected = self._next
        if mark not in expected:
            return self._break()
        if mark == _COMMA:
            self._next = _KEY if self._open[-1] == _OBJECT else _VALUE
        elif expected == _COLON:
            self._next = _VALUE
        elif mark == _QUOTE and expected in (_KEY, _KEY_OR_END):
            self._begin_key(start + 1)
        elif mark in _VALUE:
            return self._begin_value(mark, start)
        else:
            self._close(chunk, start + 1)
        return start + 1

    def _break(self) -> int:
        """Malformed: nothing more is read."""
        self.broken = True
        self.closed = False
        return 0

    def _begin_key(self, start: int) -> None:
        self._in_string = self._in_key = True
        self._is_image_text = False
        self._string_tail = b""
        if len(self._open) == 1 or self._in_image:
            self._begin_capture(start, _KEY_BYTES_MAX)

    def _end_key(self, chunk: bytes | bytearray, quote: int) -> None:
        self._in_key = False
        self._next = _COLON
        if len(self._open) == 1:
            self._field = decode_key(self._end_capture(chunk, quote))
        elif self._in_image:
            self._image_key = decode_key(self._end_capture(chunk, quote))

    def _begin_value(self, mark: int, start: int) -> int:
        if len(self._open) == 1:
            if self._field == "data":
                self.image_count = 0
            if self._field in self._names:
                self._begin_capture(start, VALUE_BYTES_MAX)
        self._has_text = False
        if mark == _QUOTE:
            key = self._field if len(self._open) == 1 else self._image_key if self._in_image else ""
            self._is_image_text = key in _IMAGE_KEYS
            self._in_string = True
            self._string_tail = b""
        elif mark not in (_OBJECT, _ARRAY):
            self._scalar = bytearray()
            return start
        elif len(self._open) == DEPTH_MAX:
            return self._break()
        else:
            self._open.append(mark)
            self._next = _KEY_OR_END if mark == _OBJECT else _VALUE_OR_END
            self._in_image = self._field == "data" and self._open == b"{[{"
            if self._in_image:
                self._image_has.clear()
        return start + 1

    def _close(self, chunk: bytes | bytearray, end: int) -> None:
        if self._in_image and self._image_has:
            self.image_count += 1
        self._open.pop()
        self._in_image = self._field == "data" and self._open == b"{[{"
        self._end_value(chunk, end)

    def _end_value(self, chunk: bytes | bytearray, end: int) -> None:
        if not self._open:
            self.closed = True
            self._next = _NOTHING
            return
        self._next = _COMMA_OR_END[self._open[-1]]
        if self._in_image and self._image_key in _IMAGE_KEYS:
            if self._has_text:
                self._image_has.add(self._image_key)
            else:
                self._image_has.discard(self._image_key)
        elif len(self._open) == 1 and self._captured is not None:
            captured = self._values[self._field] = self._end_capture(chunk, end)
            if self._on_field is not None:
                self._on_field(self._field, end - len(captured or b""), end)
        elif len(self._open) == 1 and self._field in _IMAGE_KEYS:
            self.has_image = self._has_text

    def _begin_capture(self, start: int, bytes_max: int) -> None:
        self._captured = bytearray()
        self._capture_from = start
        self._capture_max = bytes_max

    def _keep(self, captured: bytearray, chunk: bytes | bytearray, end: int) -> None:
        """Adds this chunk's part to the captured value: at most one byte over the bound."""
        room = self._capture_max + 1 - len(captured)
        captured += chunk[self._capture_from : min(end, self._capture_from + room)]

    def _end_capture(self, chunk: bytes | bytearray, end: int) -> bytearray | None:
        """The captured value; None if it was too long."""
        captured, self._captured = self._captured or bytearray(), None
        self._keep(captured, chunk, end)
        return captured if len(captured) <= self._capture_max else None
