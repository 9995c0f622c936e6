"""Takes a form apart as it comes: each part's name, and its bytes in a file of its own. Checks no rule of images."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import anyio.to_thread
from multipart import MultipartError, PushMultipartParser, parse_options_header

from app.sandbox.requests.refusals import SandboxRefusal, zenmux

_PARTS_MAX: Final = 84  # 20 files and 64 fields
_FIELD_BYTES_MAX: Final = 200_000  # 32,000 characters of prompt are at most 128,000 bytes
_IN_MEMORY_BYTES: Final = 1_000_000


@dataclass(slots=True)
class Part:
    """One part of a form. `is_file`: it was sent with a file's name."""

    name: str
    is_file: bool
    file: IO[bytes]
    size: int = 0

    @property
    def text(self) -> str:
        self.file.seek(0)
        return self.file.read().decode("utf-8", "replace")


async def read_parts(content_type: str, chunks: AsyncIterator[bytes], stack: ExitStack) -> list[Part]:
    """The parts in their order; `stack` closes their files. Raises SandboxRefusal for what is no whole form."""
    _, options = parse_options_header(content_type)
    parts: list[Part] = []
    try:
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=_PARTS_MAX) as parser:
            async for chunk in chunks:
                for part, payload in _payloads(parser, chunk, parts, stack):
                    part.size += len(payload)
                    if not part.is_file and part.size > _FIELD_BYTES_MAX:
                        raise _malformed(f"field '{part.name[:64]}' is larger than {_FIELD_BYTES_MAX} bytes")
                    if part.size > _IN_MEMORY_BYTES:
                        await anyio.to_thread.run_sync(part.file.write, payload)
                    else:
                        part.file.write(payload)
    except MultipartError as error:
        raise _malformed(str(error)) from None
    return parts


def _payloads(
    parser: PushMultipartParser, chunk: bytes, parts: list[Part], stack: ExitStack
) -> Iterator[tuple[Part, bytes]]:
    for event in parser.parse(chunk) if chunk else ():
        if isinstance(event, (bytes, bytearray)):
            yield parts[-1], bytes(event)
        elif event is not None:
            file = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - the stack closes it
            stack.enter_context(file)
            parts.append(Part(event.name or "", event.filename is not None, file))


def _malformed(reason: str) -> SandboxRefusal:
    return zenmux(400, "invalid_params", f"Request body is not a form: {reason}")
