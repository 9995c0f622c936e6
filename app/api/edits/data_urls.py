"""Takes the data URLs out of a JSON document while its bytes pass: what is left is short, and is parsed as ever. Keeps
no image: each is decoded piece by piece and handed on."""

import asyncio
import binascii
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, auto

from app.errors import BodyTooLarge, InvalidRequest

PLACEHOLDER = re.compile(r"data:([0-9]{1,4})")
"""What stands in the document where a data URL stood: its number, from 0."""

_HEAD_BYTES_MAX = 256
_SCHEME = b"data:"
_HEAD_END = b";base64,"
_MARK = re.compile(rb'["\\]')
DATA_URLS_MAX = 18  # sixteen images, a mask and a markup
_BREATH_BYTES = 8192  # of what is read letter by letter, until others run


class _At(Enum):
    OUTSIDE = auto()  # between strings
    BEGINNING = auto()  # of a string that may be a data URL
    STRING = auto()  # any other
    IMAGE = auto()  # the base64 of a data URL


class DataUrls:
    """One document. `begin` is called for each data URL, `write` with its bytes, `end` after them."""

    def __init__(
        self,
        rest_bytes_max: int,
        begin: Callable[[], object],
        write: Callable[[bytes], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        self._rest_bytes_max = rest_bytes_max
        self._begin, self._write, self._end = begin, write, end
        self._rest = bytearray()  # the document without its images
        self._breathe_at = _BREATH_BYTES
        self._at = _At.OUTSIDE
        self._escaping = False
        self._head = bytearray()
        self._base64 = bytearray()  # up to three letters that are not decoded yet
        self._is_padded = False
        self._count = 0

    async def read(self, chunks: AsyncIterator[bytes]) -> bytes:
        """The document with a placeholder for each data URL. Raises BodyTooLarge, InvalidRequest, and as `write`."""
        async for chunk in chunks:
            at = 0
            while at < len(chunk):
                at = await self._step(chunk, at)
                if len(self._rest) > self._breathe_at:
                    self._breathe_at = len(self._rest) + _BREATH_BYTES
                    await asyncio.sleep(0)
            if len(self._rest) > self._rest_bytes_max:
                bytes_max = self._rest_bytes_max
                raise BodyTooLarge(f"The request's body is larger than {bytes_max} bytes without its images.")
        return bytes(self._rest)

    async def _step(self, chunk: bytes, at: int) -> int:
        if self._at is _At.OUTSIDE:
            quote = chunk.find(b'"', at)
            end = len(chunk) if quote < 0 else quote + 1
            self._rest += chunk[at:end]
            if quote >= 0:
                self._at = _At.BEGINNING
                self._head.clear()
            return end
        if self._at is _At.BEGINNING:
            return self._read_beginning(chunk, at)
        if self._at is _At.STRING:
            return self._read_string(chunk, at)
        return await self._read_image(chunk, at)

    def _read_beginning(self, chunk: bytes, at: int) -> int:
        """Letter by letter: it is short."""
        while at < len(chunk):
            self._head.append(chunk[at])
            at += 1
            head = bytes(self._head).replace(b"\\/", b"/").lower()  # how some write a slash
            if head.startswith(_SCHEME) and head.endswith(_HEAD_END):
                self._begin_image()
                return at
            if not _may_be_data_url(head):
                self._at = _At.STRING
                self._rest += self._head[:-1]
                self._escaping = self._head[:-1].endswith(b"\\")
                return at - 1
        return at

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
        start = at
        if self._escaping:
            self._escaping = False
            at += 1
        while (mark := _MARK.search(chunk, at)) is not None:
            at = mark.end()
            if mark[0] == b'"':
                self._at = _At.OUTSIDE
                self._rest += chunk[start:at]
                return at
            if at == len(chunk):
                self._escaping = True
            at += 1
        self._rest += chunk[start:]
        return len(chunk)

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
        self._at, self._escaping = _At.OUTSIDE, False
        self._end()
        return end + 1

    def _decoded(self, encoded: bytes) -> bytes:
        if self._is_padded:
            raise _not_base64()
        self._is_padded = encoded.endswith(b"=")
        try:
            return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
        except binascii.Error:
            raise _not_base64() from None


def _may_be_data_url(head: bytes) -> bool:
    is_plain = b'"' not in head and b"\\" not in head[:-1]
    return is_plain and _SCHEME.startswith(head[:5]) and len(head) < _HEAD_BYTES_MAX


def _not_base64() -> InvalidRequest:
    return _refusal("A data URL's content is not base64, as in data:image/png;base64,iVBORw0KGgo….")


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="image", code="invalid_value")
