"""Reads usage, image count and failure from a JSON answer while its bytes pass. It must not keep an image."""

import orjson

from app.images.answers.json_fields import DEPTH_MAX, VALUE_BYTES_MAX, FieldScanner, OnImage
from app.images.answers.json_values import UNREADABLE
from app.images.cost.usage import AnswerSummary, Failure, parse_usage

NO_MESSAGE = "The provider reported an error."
_FIELDS = frozenset({"usage", "error", "errors", "size", "quality", "message", "msg", "detail"})
_REMARKS = ("message", "msg", "detail")  # the fields in which an answer without image and error may give a reason
_LIST_MAX = 5
_NOTHINGS = ("", "0", "null", "none")


class JsonScanner:
    """Reads an Images answer that is one JSON document. Holds a few KiB, whatever the size of the answer.

    `on_image` is called as by FieldScanner. `more` are further fields that `get` can return.
    `images_sent` is as for parse_usage.
    """

    def __init__(
        self, on_image: OnImage | None = None, more: frozenset[str] = frozenset(), *, images_sent: bool = False
    ) -> None:
        self._images_sent = images_sent
        self._scanner = FieldScanner(_FIELDS | more if more else _FIELDS, on_image=on_image)
        # The whole answer while it is a small document. None: the scanner reads instead.
        self._small: bytes | None = b"" if on_image is None else None
        self._document: dict[str, object] | None = None  # the small document, parsed

    def feed(self, data: bytes | bytearray, size: int | None = None, start: int = 0) -> int:
        """Takes the next bytes of the answer, data[start:size]; they may be cut anywhere. Returns how far it read:
        `size`, or less if other tasks should run before it goes on.
        """
        size = len(data) if size is None else size
        if self._small == b"" and start == 0 and size <= VALUE_BYTES_MAX:
            self._document = _small_document(data[:size])
            if self._document is not None:
                self._small = bytes(data[:size])
                return size
        if self._small:
            small, at = self._small, 0
            while at < len(small):  # a few KiB
                at = self._scanner.feed(small, at)
        self._small = self._document = None
        return self._scanner.feed(data, start, size)

    @property
    def ended(self) -> bool:
        """Whether the document is whole: a closed object, and nothing but blanks after it."""
        return self._document is not None or self._scanner.closed

    @property
    def image_begun(self) -> bool:
        """Whether it is certain that an image comes."""
        return self._scanner.image_begun if self._document is None else self._image_count() > 0

    @property
    def text_count(self) -> int:
        """How many image texts have begun."""
        return self._scanner.text_count

    @property
    def image_number(self) -> int:
        """The number of the image that is being read, from 1; 0 elsewhere."""
        return self._scanner.image_number

    @property
    def malformed(self) -> bool:
        """Whether what came so far can no longer become a JSON object."""
        return self._scanner.broken

    @property
    def failure(self) -> Failure | None:
        """The failure in the document's `error`, if it has come; of several the first."""
        error, errors = self.get("error"), self.get("errors")
        if error is None and errors is None:  # as in nearly every answer
            return None
        return read_failure(error) or read_failure(errors)

    def summary(self) -> AnswerSummary:
        """What the answer says so far; more may come."""
        count, remark = self._image_count(), None
        if count == 0:
            remark = next((text for name in _REMARKS if (text := read_word(self.get(name)))), None)
        return AnswerSummary(
            complete=self.ended,
            image_count=count,
            usage=parse_usage(self.get("usage"), images_sent=self._images_sent),
            failure=self.failure,
            size=read_word(self.get("size")),
            quality=read_word(self.get("quality")),
            remark=remark,
        )

    def _image_count(self) -> int:
        return self._scanner.image_count if self._document is None else _count_images(self._document.get("data"))

    def get(self, name: str) -> object:
        """The value of a field that has come."""
        return self._scanner.get(name) if self._document is None else self._document.get(name)


def _small_document(chunk: bytes | bytearray) -> dict[str, object] | None:
    """Parses a whole document that came in one small chunk: the same result at a quarter of the cost. None for
    others.
    """
    if not chunk or chunk.count(b"{") + chunk.count(b"[") > DEPTH_MAX:
        return None
    try:
        document = orjson.loads(chunk)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _count_images(data: object) -> int:
    count = 0
    for item in data if isinstance(data, list) else ():
        if isinstance(item, dict) and (read_word(item.get("b64_json")) or read_word(item.get("url"))):
            count += 1
    return count


def read_failure(error: object) -> Failure | None:
    """The Failure in an `error` field. None if the field is absent or empty: null, neither object nor text, or an
    object whose fields are all empty. Of a list, the first element that says something.
    """
    if error is None:
        return None
    if isinstance(error, list):
        return next((failure for each in error[:_LIST_MAX] if (failure := read_failure(each))), None)
    if isinstance(error, dict):
        message, kind, code, param = (_text(error.get(name)) for name in ("message", "type", "code", "param"))
        message = message or _text(error.get("msg")) or _text(error.get("detail"))
        said = (word.strip().lower() for word in (message, kind, code) if word is not None)
        return Failure(message or NO_MESSAGE, kind, code, param) if any(w not in _NOTHINGS for w in said) else None
    if error is UNREADABLE or (isinstance(error, str) and error.strip().lower() not in _NOTHINGS):
        return Failure(_text(error) or NO_MESSAGE)
    return None


def read_word(value: object) -> str | None:
    """`value` if it is a text that is not empty."""
    return value if isinstance(value, str) and value else None


def _text(value: object) -> str | None:
    """A word or a number as text: providers write `code` as either. A number of more than 64 bits is ignored."""
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int and -(2**63) <= value < 2**64 else None
