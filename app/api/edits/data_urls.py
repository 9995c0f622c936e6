"""Takes the data URLs out of a JSON document while its bytes pass: what is left is short, and is parsed as ever. Keeps
no image: each is decoded piece by piece and handed on."""

import binascii
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, auto

from app.errors import BodyTooLarge, InvalidRequest

PLACEHOLDER = re.compile(r"data:([0-9]{1,4})")
"""What stands in the document where a data URL stood: its number, from 0."""

DATA_URLS_MAX = 18  # sixteen images, a mask and a markup
_SCHEME = b"data:"
_HEAD_BYTES_MAX = 256
# None of these backtracks, so each is linear. `\\/` is how some write a slash.
_HEAD = re.compile(rb'"(?i:data):(?:[^"\\;]++|\\/|;(?!(?i:base64),))*+;(?i:base64),')
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_UP_TO_IMAGE = re.compile(  # over every whole string that is no data URL
    rb'[^"]*+(?:(?!%b)"%b"[^"]*+)*+' % (_HEAD.pattern, _STRING_REST.pattern), re.DOTALL
)


class _At(Enum):
    OUTSIDE = auto()  # between strings
    STRING = auto()  # in one that is no data URL
    IMAGE = auto()  # the base64 of a data URL


class DataUrls:
    """One document. `begin` is called for each data URL, `write` with its bytes, `end` after them."""

    def __init__(
        self,
        rest_bytes_max: int,
        begin: Callable[[], object],
        write: Callable[[bytes], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._rest_bytes_max = rest_bytes_max
        self._begin, self._write, self._end = begin, write, end
        self._rest = bytearray()  # the document without its images
        self._at = _At.OUTSIDE
        self._undecided = b""  # the last bytes that came: what they are is known with those that follow
        self._base64 = bytearray()  # up to three letters that are not decoded yet
        self._is_padded = False
        self._count = 0

    async def read(self, chunks: AsyncIterator[bytes]) -> bytes:
        """The document with a placeholder for each data URL. Raises BodyTooLarge, InvalidRequest, and as `write`."""
        async for more in chunks:
            chunk, self._undecided, at = self._undecided + more, b"", 0
            while at < len(chunk):
                at = await self._step(chunk, at)
            if len(self._rest) > self._rest_bytes_max:
                bytes_max = self._rest_bytes_max
                raise BodyTooLarge(f"The request's body is larger than {bytes_max} bytes without its images.")
        return bytes(self._rest + self._undecided)

    async def _step(self, chunk: bytes, at: int) -> int:
        if self._at is _At.OUTSIDE:
            return self._read_outside(chunk, at)
        if self._at is _At.STRING:
            return self._read_string(chunk, at)
        return await self._read_image(chunk, at)

    def _read_outside(self, chunk: bytes, at: int) -> int:
        end = _end(_UP_TO_IMAGE, chunk, at)
        self._rest += chunk[at:end]
        if end == len(chunk):
            return end
        head = _HEAD.match(chunk, end, end + _HEAD_BYTES_MAX)
        if head is None and _may_become_head(chunk[end + 1 : end + 1 + _HEAD_BYTES_MAX]):
            self._undecided = chunk[end:]
            return len(chunk)
        self._rest += b'"'
        if head is None:
            self._at = _At.STRING
            return end + 1
        self._begin_image()
        return head.end()

    def _begin_image(self) -> None:
        if self._count == DATA_URLS_MAX:
            raise _refusal(f"The request holds more than {DATA_URLS_MAX} data URLs.")
        self._begin()
        self._rest += b"data:%d" % self._count
        self._count += 1
        self._base64.clear()
        self._is_padded = False
        self._at = _At.IMAGE

    def _read_string(self, chunk: bytes, at: int) -> int:
        end = _end(_STRING_REST, chunk, at)
        self._rest += chunk[at:end]
        if end == len(chunk):
            return end
        if chunk[end:] == b"\\":
            self._undecided = b"\\"
            return len(chunk)
        self._rest += b'"'
        self._at = _At.OUTSIDE
        return end + 1

    async def _read_image(self, chunk: bytes, at: int) -> int:
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote
        self._base64 += chunk[at:end]
        is_cut = quote < 0 and self._base64.endswith(b"\\")  # in front of a slash, where all is well
        letters = self._base64[: len(self._base64) - is_cut].replace(b"\\/", b"/")
        whole = len(letters) if quote >= 0 else len(letters) // 4 * 4
        self._base64 = letters[whole:] + b"\\" * is_cut
        if whole:
            await self._write(self._decoded(bytes(letters[:whole])))
        if quote < 0:
            return end
        self._rest += b'"'
        self._at = _At.OUTSIDE
        await self._end()
        return end + 1

    def _decoded(self, encoded: bytes) -> bytes:
        if self._is_padded:
            raise _not_base64()
        self._is_padded = encoded.endswith(b"=")
        try:
            return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
        except binascii.Error:
            raise _not_base64() from None


def _end(pattern: re.Pattern[bytes], chunk: bytes, at: int) -> int:
    found = pattern.match(chunk, at)
    assert found is not None, "each of these patterns also matches an empty text"
    return found.end()


def _may_become_head(head: bytes) -> bool:
    """Whether the beginning of a string, all that came of it, is a data URL's as far as it goes."""
    plain = head.replace(b"\\/", b"/").lower()
    is_plain = b'"' not in plain and b"\\" not in plain[:-1]
    return is_plain and _SCHEME.startswith(plain[:5]) and len(head) < _HEAD_BYTES_MAX


def _not_base64() -> InvalidRequest:
    return _refusal("A data URL's content is not base64, as in data:image/png;base64,iVBORw0KGgo….")


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="image", code="invalid_value")
