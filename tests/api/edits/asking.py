"""Requests for the readers of edits, without a server: bodies in pieces, uploads in a folder of the test's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request

from app.files.uploads import UploadFile, Uploads


@asynccontextmanager
async def upload_in(folder: Path, bytes_max: int = 10_000_000) -> AsyncIterator[UploadFile]:
    """An upload; when it ends nothing of it may be left."""
    uploads = Uploads(folder, bytes_max, bytes_max, 10)
    uploads.prepare()
    upload = await uploads.open("ann")
    try:
        yield upload
    finally:
        await upload.aclose()
        uploads.close()
    assert (uploads.count, uploads.bytes_count) == (0, 0)
    _check_empty(folder)


def _check_empty(folder: Path) -> None:
    assert list(folder.iterdir()) == []


def cut(body: bytes, step: int) -> list[bytes]:
    return [body[start : start + step] for start in range(0, len(body), step)]


def request_of(pieces: Sequence[bytes], content_type: str, **headers: str) -> Request:
    """A request whose body comes in these pieces."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    sent = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
    }
    return Request(scope, receive)


def part(name: str, data: bytes, filename: str | None = None, boundary: bytes = b"xyz") -> bytes:
    names = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    return b"--%b\r\nContent-Disposition: %b\r\n\r\n%b\r\n" % (boundary, names.encode(), data)


def form(*parts: bytes, boundary: bytes = b"xyz") -> bytes:
    return b"".join(parts) + b"--%b--\r\n" % boundary


FORM = "multipart/form-data; boundary=xyz"
