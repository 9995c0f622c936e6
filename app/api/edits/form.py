"""Reads a form as it comes: text fields into memory, images to the collector. Every fault is a clear error at once."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from app.api.edits.collecting import Collector
from app.errors import BodyTooLarge, InvalidRequest
from app.images.request.checks import refusal, shown
from app.images.request.form_values import typed_fields
from app.images.request.image_head import SNIFFED_BYTES, sniff
from app.images.request.inputs import ROLES

PARTS_MAX = 64
TEXT_BYTES_MAX = 131_072
_BOUNDARY_LENGTH_MAX = 200
_NAME_LENGTH_MAX = 64
_IMAGE_NAME = re.compile(r"(image|mask|markup)(?:\[[0-9]{0,3}\])?")


@dataclass(slots=True)
class _Part:
    """The part that comes now. `kind`: what image it is. `text` is gathered where it is none, and until an unnamed file
    has shown that it is one."""

    name: str
    kind: str | None
    filename: str | None
    text: bytearray
    is_begun: bool = False


class FormReader:
    """One form, read once."""

    def __init__(self, content_type: str, collector: Collector) -> None:
        """Raises InvalidRequest for a type that names no boundary."""
        _, options = parse_options_header(content_type)
        boundary = options.get("boundary", "")
        if not 0 < len(boundary) <= _BOUNDARY_LENGTH_MAX:
            raise _malformed("its content-type names no boundary. Let the HTTP client set that header")
        try:
            self._parser = PushMultipartParser(boundary, max_segment_count=PARTS_MAX)
        except (MultipartError, UnicodeError):
            raise _malformed("its boundary is not valid") from None
        self._collector = collector
        self._texts: dict[str, str] = {}
        self._text_bytes = 0
        self._part = _Part("", None, None, bytearray())

    async def read(self, chunks: AsyncIterator[bytes]) -> dict[str, object]:
        """The form's fields, as JSON values. Raises InvalidRequest, BodyTooLarge, UploadsFull, ClientLeft."""
        try:
            with self._parser as parser:
                async for chunk in chunks:
                    for event in parser.parse(chunk):
                        if event is None:
                            await self._end()
                        elif isinstance(event, MultipartSegment):
                            self._begin(event)
                        else:
                            await self._take(event)
        except ParserLimitReached:
            raise _malformed(
                f"it has more than {PARTS_MAX} parts, or a part with too many or too long headers"
            ) from None
        except MultipartError as error:
            raise _malformed(str(error)[:200].rstrip(".").lower()) from None
        return typed_fields(self._texts)

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        match = _IMAGE_NAME.fullmatch(name)
        if name.removesuffix("[]") == "images":
            message = "Invalid value: 'images'. For multipart/form-data use 'image' or 'image[]'."
            raise refusal("images", "invalid_value", message)
        if not 0 < len(name) <= _NAME_LENGTH_MAX:
            raise refusal(name, "unknown_parameter", f"Unknown parameter: '{shown(name)}'.")
        if match is None and segment.filename is not None:
            message = f"Invalid type for '{shown(name)}': expected a string, but got a file instead."
            raise refusal(name, "invalid_type", message)
        self._part = _Part(name, match and match[1], segment.filename, bytearray())

    async def _take(self, data: bytes) -> None:
        part = self._part
        if part.kind is not None and (part.filename is not None or part.is_begun):
            await self._write(part, part.kind, data)
            return
        part.text += data
        if part.kind is None:
            self._text_bytes += len(data)
            if self._text_bytes > TEXT_BYTES_MAX:
                raise BodyTooLarge(f"The form's text fields are larger than {TEXT_BYTES_MAX} bytes together.")
        elif len(part.text) >= SNIFFED_BYTES:
            if sniff(bytes(part.text[:SNIFFED_BYTES])) is None:
                raise _not_a_file(part)
            await self._write(part, part.kind, bytes(part.text))

    async def _write(self, part: _Part, kind: str, data: bytes) -> None:
        if not part.is_begun:
            part.is_begun = True
            self._collector.begin(kind)
        await self._collector.write(data)

    async def _end(self) -> None:
        part = self._part
        if part.kind is not None:
            if part.filename and not part.is_begun:
                self._collector.begin(part.kind)  # an empty file
                part.is_begun = True
            if part.is_begun:
                await self._collector.end()
            elif part.text:
                raise _not_a_file(part)
            return  # without a byte: the file input that nobody filled
        if part.name in self._texts:
            message = f"The parameter '{shown(part.name)}' is given more than once. Give it once."
            raise refusal(part.name, "duplicate_parameter", message)
        try:
            self._texts[part.name] = part.text.decode()
        except UnicodeDecodeError:
            raise refusal(part.name, "invalid_value", f"Invalid '{shown(part.name)}': it is not UTF-8.") from None


def _not_a_file(part: _Part) -> InvalidRequest:
    param = f"{part.kind}[0]" if part.name.endswith("]") and part.kind == ROLES[0] else part.kind
    message = f"Invalid type for '{param}': expected a file, but got a string instead."
    return refusal(str(param), "invalid_type", message)


def _malformed(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The request's body is not a whole form: {reason}.", param=None, code="invalid_form")
