"""Reads usage, image count and failure out of a JSON answer while its bytes pass. It must not keep a picture."""

from collections.abc import Mapping

from app.images.json_fields import UNREADABLE, FieldScanner
from app.images.usage import Failure, Reading, parse_usage

_NO_MESSAGE = "The provider reported an error."


class JsonScanner:
    """Reads an Images answer that is one JSON document. Holds a few KiB, whatever the size of the answer."""

    def __init__(self) -> None:
        self._scanner = FieldScanner(frozenset({"usage", "error"}))

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the answer; they may be cut anywhere."""
        self._scanner.feed(chunk)

    @property
    def complete(self) -> bool:
        """Whether the document is whole: an object, closed, and nothing but blanks after it."""
        return self._scanner.closed

    @property
    def malformed(self) -> bool:
        """Whether what came so far can no longer become a JSON object."""
        return self._scanner.broken

    @property
    def failure(self) -> Failure | None:
        """The failure that the document's `error` tells, if it has come."""
        return read_failure(self._scanner.get("error"))

    def finish(self) -> Reading:
        """What was read so far; reading may go on."""
        usage = parse_usage(self._scanner.get("usage"))
        return Reading(self.complete, self._scanner.image_count, usage, self.failure)


def read_failure(error: object) -> Failure | None:
    """The Failure that an `error` field tells; None when the field is absent, null, or no object and no text."""
    if isinstance(error, Mapping):
        message, kind, code, param = (_text(error.get(name)) for name in ("message", "type", "code", "param"))
        return Failure(message or _NO_MESSAGE, kind, code, param)
    if error is UNREADABLE or (isinstance(error, str) and error):
        return Failure(_text(error) or _NO_MESSAGE)
    return None


def _text(value: object) -> str | None:
    """A word or a number as text: providers write `code` either way."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
