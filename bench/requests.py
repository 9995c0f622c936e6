"""What is asked, as it goes over the wire: a document, a form with an image, or one thing by its address. Pure."""

import json
import random
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
_BOUNDARY = "bench-5d1f0a37c2e94b68"


@dataclass(frozen=True)
class Request:
    """One request, without the headers that a contender wants for itself."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


def document(fields: Mapping[str, object]) -> Request:
    """A generation."""
    return Request("POST", GENERATIONS, {"content-type": "application/json"}, json.dumps(fields).encode())


def form(fields: Mapping[str, object], image_bytes: int) -> Request:
    """An edit of an image of so many bytes, which comes last, as every SDK sends it."""
    parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(
        b'form-data; name="image[]"; filename="image.png"\r\ncontent-type: image/png\r\n\r\n' + png(image_bytes)
    )
    begin = f"--{_BOUNDARY}\r\ncontent-disposition: ".encode()
    body = b"".join(begin + part + b"\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n".encode()
    return Request("POST", EDITS, {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}, body)


@cache
def png(size: int) -> bytes:
    """What begins like a PNG of 1024 × 1024, in `size` bytes; its pixels are noise, which nobody here decodes."""
    head = struct.pack(">4sIIBBBBB", b"IHDR", 1024, 1024, 8, 2, 0, 0, 0)
    begin = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    noise = random.Random(1).randbytes(size - len(begin) - 8)  # noqa: S311 - the same noise each time
    return begin + struct.pack(">I4s", len(noise), b"IDAT") + noise
