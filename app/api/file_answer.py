"""An answer that is a kept file: streamed from where it lies, never held in memory."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.byte_range import ByteRange
from app.errors import FilesUnavailable
from app.files.store.store import OpenFile


class FileAnswer(Response):
    """Sends `part` of `file`, and closes it. A caller that accepts nothing for `stall_seconds` counts as gone; an
    answer that cannot be sent whole is broken off. `around`: what is sent before and after it.
    """

    def __init__(
        self,
        file: OpenFile,
        part: ByteRange,
        headers: Mapping[str, str],
        stall_seconds: float,
        around: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.background = None
        self.status_code = 206 if part.is_partial else 200
        self.body = b""
        self.init_headers({**headers, "content-length": str(part.stop - part.start + len(around[0]) + len(around[1]))})
        self._around = around
        self._file = file
        self._part = part
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                with suppress(TimeoutError, OSError, FilesUnavailable):
                    await send({"type": "http.response.body", "body": self._around[0], "more_body": True})
                    await self._send_part(send)
                    await send({"type": "http.response.body", "body": self._around[1], "more_body": False})
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()

    async def _send_part(self, send: Send) -> None:
        async for chunk in self._file.chunks(self._part.start, self._part.stop):
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
