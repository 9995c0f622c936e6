"""An answer that is a kept file: sent from where it lies, by the kernel where it can, never held in memory."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.byte_range import ByteRange
from app.errors import FilesUnavailable
from app.files.sending import file_parts, sends_files
from app.files.store.store import OpenFile


class FileAnswer(Response):
    """Sends `part` of `file`, and closes it. A caller that accepts nothing for `stall_seconds` counts as gone; an
    answer that cannot be sent whole is broken off.
    """

    def __init__(self, file: OpenFile, part: ByteRange, headers: Mapping[str, str], stall_seconds: float) -> None:
        self.background = None
        self.status_code = 206 if part.is_partial else 200
        self.body = b""
        self.init_headers({**headers, "content-length": str(part.stop - part.start)})
        self._file = file
        self._part = part
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                with suppress(TimeoutError, OSError, FilesUnavailable):
                    await self._send_part(scope, send)
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()

    async def _send_part(self, scope: Scope, send: Send) -> None:
        if self._file.descriptor is not None and sends_files(scope):
            for message in file_parts(self._file.descriptor, self._part.start, self._part.stop):
                await send(message)
            return
        async for chunk in self._file.chunks(self._part.start, self._part.stop):
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
