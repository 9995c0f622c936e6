"""Reads usage, image count and failure out of a JSON answer while its bytes pass. It must not keep a picture."""

import orjson

from app.images.json_fields import DEPTH_MAX, UNREADABLE, VALUE_BYTES_MAX, FieldScanner
from app.images.usage import Failure, Reading, parse_usage

_NO_MESSAGE = "The provider reported an error."


class JsonScanner:
    """Reads an Images answer that is one JSON document. Holds a few KiB, whatever the size of the answer."""

    def __init__(self) -> None:
        self._scanner = FieldScanner(frozenset({"usage", "error"}))
        self._small: bytes | None = b""  # all that came, while that is a small document; None: the scanner reads
        self._document: dict[str, object] | None = None  # the small document, parsed

    def feed(self, data: bytes | bytearray, size: int | None = None) -> None:
        """Takes the next bytes of the answer, the first `size` of `data` or all; they may be cut anywhere."""
        size = len(data) if size is None else size
        if self._small == b"" and size <= VALUE_BYTES_MAX:
            self._document = _small_document(data[:size])
            if self._document is not None:
                self._small = bytes(data[:size])
                return
        if self._small:
            self._scanner.feed(self._small)
        self._small = self._document = None
        self._scanner.feed(data, 0, size)

    @property
    def complete(self) -> bool:
        """Whether the document is whole: an object, closed, and nothing but blanks after it."""
        return self._document is not None or self._scanner.closed

    @property
    def malformed(self) -> bool:
        """Whether what came so far can no longer become a JSON object."""
        return self._scanner.broken

    @property
    def failure(self) -> Failure | None:
        """The failure that the document's `error` tells, if it has come."""
        return read_failure(self._get("error"))

    def finish(self) -> Reading:
        """What was read so far; reading may go on."""
        count = self._scanner.image_count if self._document is None else _count_images(self._document.get("data"))
        return Reading(self.complete, count, parse_usage(self._get("usage")), self.failure)

    def _get(self, name: str) -> object:
        return self._scanner.get(name) if self._document is None else self._document.get(name)


def _small_document(chunk: bytes | bytearray) -> dict[str, object] | None:
    """A whole document in one small chunk, parsed: the same reading for a quarter of the work. None for all others."""
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
        if isinstance(item, dict) and (item.get("b64_json") is not None or item.get("url") is not None):
            count += 1
    return count


def read_failure(error: object) -> Failure | None:
    """The Failure that an `error` field tells; None when the field is absent, null, or no object and no text."""
    if error is None:
        return None
    if isinstance(error, dict):
        message, kind, code, param = (_text(error.get(name)) for name in ("message", "type", "code", "param"))
        return Failure(message or _NO_MESSAGE, kind, code, param)
    if error is UNREADABLE or (isinstance(error, str) and error):
        return Failure(_text(error) or _NO_MESSAGE)
    return None


def _text(value: object) -> str | None:
    """A word or a number as text: providers write `code` either way."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
