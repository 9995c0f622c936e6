"""One event of a stream: its kind, what its data said so far, and whether its bytes may be passed on. Keeps no
bytes.
"""

from enum import Enum, auto

from app.images.answers.json_fields import FieldScanner, OnImage
from app.images.answers.scanner import NO_MESSAGE, read_failure, read_word
from app.images.cost.usage import Failure

_BAD = ("error", "failed")  # error, proxy_error, image_generation.failed, image_generation.partial_failed
_GOOD = (".partial_image", ".completed")  # image_generation.…, image_edit.…
FIELDS = frozenset({"type", "usage", "error", "message", "code", "param", "size", "quality"})


class Fate(Enum):
    """What happens to an event's bytes."""

    HOLD = auto()
    PASS = auto()
    DROP = auto()


class Event:
    """One event: its name, what its data said so far, and its fate. A comment between events counts as an event, and so
    does a single blank line. `on_image` gets the text of a finished image if the event's kind is known when the image
    begins.
    """

    def __init__(self, on_image: OnImage | None = None, fields: frozenset[str] = FIELDS) -> None:
        self.fate = Fate.HOLD
        self.ended = False
        self.bytes_count = 0
        self.has_fields = False  # a line that is no comment has come
        self.has_id = False
        self.name = ""
        self.data: FieldScanner | None = None
        self.hollow: list[tuple[int, int]] = []  # the places, in the chunk just read, of errors that say nothing
        self._is_split = False  # the value of `error` began on an earlier line
        self._is_good = False  # of a kind that carries an image
        self._on_image = on_image
        self._fields = fields

    def set_name(self, name: str) -> None:
        """Takes the name from the `event:` line, which decides the kind."""
        self.name = name
        self._decide(name)

    def begin_data(self) -> FieldScanner:
        """The scanner that reads the data line about to come."""
        if self.data is None:
            self.data = FieldScanner(self._fields, self._take_field, self._take_image)
        else:
            self._is_split = self._is_split or self.data.bytes_of("error") > 0
            self.data.feed(b"\n")  # the data lines of one event are one text
        return self.data

    def is_whole(self) -> bool:
        """Whether its data is a whole JSON object."""
        return self.data is not None and self.data.closed

    def is_final(self) -> bool:
        """Whether its data is whole and of the kind that carries a finished image."""
        return self.is_whole() and self._is_of_final_kind() and not self.failure()

    def is_partial(self) -> bool:
        """Whether it carries an image that is not finished."""
        return self.has_image() and not self._is_of_final_kind()

    def has_image(self) -> bool:
        """Whether its data carries an image and has not been withheld."""
        return (
            self.data is not None and self.fate is not Fate.DROP and (self.data.has_image or self.data.image_count > 0)
        )

    def word(self, name: str) -> str | None:
        """A text field of its data; None if it is missing, empty or not a text."""
        return read_word(self.get(name))

    def failure(self) -> Failure | None:
        """The failure that this event reports, in any of the known shapes; None if it reports none."""
        failure = read_failure(self.get("error"))
        kind = self._type()
        if failure is None and (self.name.endswith(_BAD) or kind.endswith(_BAD)):
            flat = {name: self.get(name) for name in ("message", "type", "code", "param")}
            if kind == "error" or "." in kind:
                flat["type"] = None  # the event's type, not the error's
            failure = read_failure(flat) or Failure(NO_MESSAGE)
        return failure

    def end(self, *, passes_blank: bool) -> None:
        """The event has ended: decides its fate if that is still open. `passes_blank`: whether an event without fields
        passes.
        """
        self.ended = True
        self._on_image = None
        if self.data is not None:
            self.data.mute()
        if self.fate is not Fate.HOLD:
            return
        passes = passes_blank
        if self.has_fields:
            is_hollow = self._is_good and not self.has_image()
            passes = self.data is not None and self.data.begun and not is_hollow and not self.failure()
        self.fate = Fate.PASS if passes else Fate.DROP

    def give_up(self) -> None:
        """It was held for too long: pass it on from now on, unless it is empty."""
        self.fate = Fate.PASS if self.data is not None and self.data.begun else Fate.DROP

    def get(self, name: str) -> object:
        """The value of a field of its data."""
        return None if self.data is None else self.data.get(name)

    def error_bytes(self) -> int:
        """The bytes of an unfinished `error`, of which it is not known yet whether it is empty."""
        return 0 if self.data is None or self._is_split else self.data.bytes_of("error")

    def _take_field(self, name: str, start: int, end: int) -> None:
        if name == "type":
            self._decide(self._type())
        elif name == "error":
            if not read_failure(self.get("error")):
                if not self._is_split:
                    self.hollow.append((start, end))
            elif self.fate is Fate.HOLD:
                self.fate = Fate.DROP
            self._is_split = False

    def _take_image(self, chunk: bytes | bytearray, start: int, stop: int) -> None:
        if self.fate is Fate.HOLD and self._is_good:
            self.fate = Fate.PASS
        if self._on_image is not None and self._is_of_final_kind() and self.fate is Fate.PASS:
            self._on_image(chunk, start, stop)

    def _decide(self, kind: str) -> None:
        if self.fate is not Fate.HOLD:
            return
        if kind.endswith(_BAD):
            self.fate = Fate.DROP
        elif kind.endswith(_GOOD):
            self._is_good = True
            if self.data is not None and self.data.image_begun:
                self.fate = Fate.PASS

    def _is_of_final_kind(self) -> bool:
        return (self._type() or self.name).endswith(".completed")

    def _type(self) -> str:
        return self.word("type") or ""
