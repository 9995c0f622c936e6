"""Reads usage, image count and failures from a passing event stream (SSE), and removes its failure events.

Everything else is passed on byte for byte, as it arrives. An event is held only until its kind is known and its image
has begun, and never more than HELD_BYTES_MAX of it. Events without data are removed too, and an `error` that says
nothing becomes a value that SDKs do not read as an error, because they fail on both. It must not keep, copy or decode
an image.
"""

from app.images.answers.json_fields import STEPS_MAX, FieldScanner, OnImage
from app.images.answers.json_values import nothing_of_length
from app.images.answers.stream_event import FIELDS, Event, Fate
from app.images.cost.usage import AnswerSummary, Usage, parse_usage

HELD_BYTES_MAX = 16_384  # an event of unknown kind passes once it is longer
PARTIALS_MAX = 64  # whose bytes are kept; three are the most that a request can ask for
_LINE_STEPS = 8  # the cost of reading a line, counted in steps of reading JSON
_LINE_BYTES_MAX = 256  # of a line that is not data; a longer one holds nothing that is needed here
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DATA = b"data:"


class EventScanner:
    """Reads an Images answer that is an event stream. Holds under 64 KiB, whatever the size of the answer.

    Its output and its reading depend on the bytes alone, not on how they are cut into chunks. `read_to` is how far the
    last `feed` read. It is less than `size` if other tasks should run before reading goes on. `images_sent` is as for
    parse_usage. `partials` has the bytes of each event, without its last line end, that brought a partial image whole:
    of the first PARTIALS_MAX of them.
    """

    def __init__(
        self, on_image: OnImage | None = None, more: frozenset[str] = frozenset(), *, images_sent: bool = False
    ) -> None:
        self._images_sent = images_sent
        self._on_image = on_image
        self._fields = FIELDS | more if more else FIELDS
        self._more = more
        self.last: dict[str, object] = {}  # the `more` fields of the last finished image
        self._event = Event(on_image, self._fields)
        self.read_to = 0
        self.partials: list[int] = []
        self._steps_left = 0
        self._next_feed = -1  # the position of the next line feed in the chunk, once it was searched for
        self._has_id = False  # an `id:` was passed on: SDKs then read each blank line after it as an event
        self._held = bytearray()  # bytes of the current event of earlier chunks that are not passed on yet
        self._mark_bytes = 0  # of the byte order mark that may begin the stream
        self._line = bytearray()  # the beginning of the current line, until it is known whether it is data
        self._data: FieldScanner | None = None  # reads the current line if it is data
        self._after_cr = False  # a line feed that comes next belongs to the same line end
        self._totals = AnswerSummary(complete=False, image_count=0, usage=None)

    @property
    def at_boundary(self) -> bool:
        """Whether the output so far ends between two events, so that a comment or an event may follow."""
        return self._event.fate is not Fate.PASS

    @property
    def delivers(self) -> bool:
        """Whether a finished image came whole, in the data of a `*.completed` event."""
        return self._totals.image_count > 0 or (self._event.is_final() and self._event.has_image())

    @property
    def fails(self) -> bool:
        """Whether a failure was reported, even after an image that came whole."""
        return self._totals.failure is not None or (self._event.has_fields and self._event.failure() is not None)

    @property
    def image_number(self) -> int:
        """The number of the finished image that is being read, from 1."""
        return self._totals.image_count + 1

    @property
    def text_count(self) -> int:
        """How many image texts have begun in the event that is being read."""
        return 0 if self._event.data is None else self._event.data.text_count

    def closing(self, field: bytes) -> bytes:
        """What to send where the stream was cut, so that its last event ends. If that event can take one more field,
        `field` (as `"error":{…}`) is added to it. b"" between events.
        """
        if self.at_boundary:
            return b""
        held = bytes(self._held)
        text = self._event.data.closing() if self._event.data else None
        is_open = bool(self._line) or self._data is not None or self._after_cr
        if text is None:
            return held + (b"\n\n" if is_open else b"\n")
        if self._data is None or self._after_cr:
            text = (b"\ndata:" if self._line else b"data:") + text
        return held + text + b"," + field + b"}\n\n"

    def feed(self, data: bytes | bytearray, size: int | None = None, start: int = 0) -> bytes | memoryview:
        """Takes the next bytes, data[start:size], up to `read_to`. Returns what may be passed on now: a view of `data`
        itself if no copy is needed.
        """
        size = len(data) if size is None else size
        view, out = memoryview(data), list[bytes | memoryview]()
        pass_from = event_from = at = start  # data[pass_from:event_from] passes, the current event's bytes follow
        self._steps_left, self._next_feed = STEPS_MAX, -1
        while at < size and self._steps_left > 0:
            event, stop = self._event, size
            if event.fate is Fate.HOLD:
                stop = min(stop, at + HELD_BYTES_MAX - event.bytes_count)
            line_end = self._read_line(data, at, stop, size)
            event.bytes_count += line_end - at
            at = line_end
            if event.hollow:
                data = self._blank(data, start)
                view = memoryview(data)
            if event.fate is Fate.HOLD and event.bytes_count >= HELD_BYTES_MAX:
                event.give_up()
            is_clear = event.ended or event.error_bytes() <= at - start  # what is held tells of no error
            if event.fate is not Fate.HOLD and self._held and is_clear:
                out.append(self._release())
            if event.ended:
                if event.fate is Fate.DROP:
                    out.append(view[pass_from:event_from])
                    pass_from = at
                event_from = at
                self._event = Event(self._on_image, self._fields)
        self.read_to = at
        event, held_from = self._event, event_from
        if event.fate is not Fate.HOLD:
            held_from = max(event_from, at - event.error_bytes())
        out.append(view[pass_from : held_from if event.fate is Fate.PASS else event_from])
        if event.fate is not Fate.DROP:
            self._held += view[held_from:at]
        return out[0] if len(out) == 1 else b"".join(out)

    def flush(self) -> bytes:
        """Call last, when the stream has ended. Returns what was still held, and the line end that a whole event
        lacks.
        """
        event, line_is_open = self._event, bool(self._line) or self._after_cr
        if line_is_open:
            self._after_cr = False
            self._end_line()
        is_cut = event.bytes_count > 0 and not event.ended
        if is_cut:
            self._end_event()
        tail = self._release()
        if is_cut and event.fate is Fate.PASS:
            if not event.is_whole():
                return tail
            tail += b"\n\n" if line_is_open else b"\n"
        self._event = Event()
        self._on_image = None
        return tail

    def summary(self) -> AnswerSummary:
        """What the answer says so far; more may come. Usage is the sum over completed events.

        A failure may be reported besides a completed event. Of several failures the first counts.
        """
        return self._totals_with(self._event)

    def _blank(self, data: bytes | bytearray, start: int) -> bytearray:
        """`data`, or a copy, with an empty `error` blanked. Blanks the part of it that is held, too."""
        changed = data if isinstance(data, bytearray) else bytearray(data)
        for begin, end in self._event.hollow:
            nothing = nothing_of_length(end - begin)
            early = max(0, min(start, end) - begin)
            if early:
                self._held[-early:] = nothing[:early]
            changed[begin + early : end] = nothing[early:]
        self._event.hollow.clear()
        return changed

    def _release(self) -> bytes:
        """The held bytes of an event whose fate is now known: nothing if it is dropped."""
        held = bytes(self._held) if self._event.fate is Fate.PASS else b""
        self._held.clear()
        return held

    def _read_line(self, chunk: bytes | bytearray, at: int, stop: int, size: int) -> int:
        """Reads to the end of the line, to `stop`, or as far as one call may. Returns the position reached."""
        self._steps_left -= _LINE_STEPS
        if self._after_cr:
            self._after_cr = False
            self._end_line()
            return at + 1 if chunk.startswith(b"\n", at) else at
        if self._mark_bytes < len(_BYTE_ORDER_MARK):
            if chunk[at] == _BYTE_ORDER_MARK[self._mark_bytes]:
                self._mark_bytes += 1
                return at + 1
            self._mark_bytes = len(_BYTE_ORDER_MARK)
        if self._next_feed < at:
            found = chunk.find(b"\n", at, size)
            self._next_feed = size if found < 0 else found
        feed = min(self._next_feed, stop)
        carriage = chunk.find(b"\r", at, feed)
        end = feed if carriage < 0 else carriage
        taken = self._take(chunk, at, end)
        if taken < end or end == stop:
            return taken
        if end == carriage:
            self._after_cr = True
        else:
            self._end_line()
        return end + 1

    def _take(self, chunk: bytes | bytearray, at: int, end: int) -> int:
        """Takes a part of a line, without its end. Returns how far it was read."""
        if self._data is None and len(self._line) < len(_DATA):
            cut = min(end, at + len(_DATA) - len(self._line))
            self._line += chunk[at:cut]
            at = cut
            if self._line.startswith(b":") and not self._event.has_fields:
                self._event.fate = Fate.PASS
            if self._line == _DATA:
                self._event.has_fields = True
                self._data = self._event.begin_data()
        if self._data is not None:
            steps = self._data.steps
            end = self._data.feed(chunk, at, end, max(1, self._steps_left))
            self._steps_left -= self._data.steps - steps
        else:
            self._line += chunk[at : min(end, at + _LINE_BYTES_MAX - len(self._line))]
        return end

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
            elif name == b"id":
                event.has_id = True

    def _end_event(self) -> None:
        if self._event.has_fields:
            if self._more and self._event.is_final():
                self.last = {name: self._event.get(name) for name in self._more}
            if self._event.is_partial() and len(self.partials) < PARTIALS_MAX:
                self.partials.append(self._event.bytes_count)
            self._totals = self._totals_with(self._event)
        self._event.end(passes_blank=not self._has_id)
        if self._event.has_id and self._event.fate is Fate.PASS:
            self._has_id = True

    def _totals_with(self, event: Event) -> AnswerSummary:
        """The sums of the stream with those of `event` added."""
        so_far = self._totals
        failure = event.failure()
        usage = so_far.usage
        if event.is_final():
            return AnswerSummary(
                complete=True,
                image_count=so_far.image_count + event.has_image(),
                usage=_sum(usage, self._usage_of(event)) if so_far.complete else self._usage_of(event),
                failure=so_far.failure,
                size=event.word("size"),
                quality=event.word("quality"),
            )
        if failure is None:
            return so_far
        # The usage of a failed request comes with the failure, if it comes at all.
        return so_far._replace(usage=usage or self._usage_of(event), failure=so_far.failure or failure)

    def _usage_of(self, event: Event) -> Usage | None:
        return parse_usage(event.get("usage"), images_sent=self._images_sent)


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return None
    return Usage(
        first.input_text_tokens + second.input_text_tokens,
        first.input_image_tokens + second.input_image_tokens,
        first.output_text_tokens + second.output_text_tokens,
        first.output_image_tokens + second.output_image_tokens,
    )
