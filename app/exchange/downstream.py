"""The client's side of an exchange: sends, notices that the client left, keeps a silent stream alive.

Knows nothing of what is sent, and no money.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Receive, Send

from app.exchange.tasks import Tasks

_KEEPALIVE_COMMENT = b": keep-alive\n\n"


class Downstream:
    """Wraps ASGI's `send`. After the client left, sending is a no-op, so the answer can be read to its end.

    A client that takes nothing for `stall_seconds` counts as gone. `headers` go out when the answer starts.
    """

    def __init__(self, receive: Receive, send: Send, tasks: Tasks, stall_seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._tasks = tasks
        self._stall_seconds = stall_seconds
        self._sending = False
        self._last_sent_at = 0.0
        self._missing_bytes: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.left = False
        self.started = False
        # Set for an event stream: what completes the text of an event that was cut in its middle.
        self.event_closing: Callable[[], bytes | None] | None = None

    async def start(self, status: int, content_length: int | None) -> None:
        self.started = True
        self._missing_bytes = content_length
        length = [] if content_length is None else [(b"content-length", str(content_length).encode())]
        await self._pass({"type": "http.response.start", "status": status, "headers": [*self.headers, *length]})

    async def write(self, chunk: bytes) -> None:
        if self._missing_bytes is not None:
            self._missing_bytes -= len(chunk)
        await self._pass({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self, chunk: bytes = b"") -> None:
        """End the answer well. One that is not finished is broken off by the server, and its client sees the cut."""
        if not self._missing_bytes:
            await self._pass({"type": "http.response.body", "body": chunk, "more_body": False})

    async def _pass(self, message: dict[str, Any]) -> None:
        if self.left:
            return
        self._sending = True
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._send(message)
        except (TimeoutError, OSError):
            self.left = True
        finally:
            self._sending = False
            self._last_sent_at = asyncio.get_running_loop().time()

    @contextmanager
    def watched(self, on_leave: Callable[[], None]) -> Iterator[None]:
        """Calls `on_leave` once, when the client leaves within the block."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.left = True
            on_leave()

        with self._beside(watch()):
            yield

    @contextmanager
    def kept_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> Iterator[None]:
        """Sends a comment whenever nothing was sent for `seconds`, but never in the middle of an event."""

        async def keep_alive() -> None:
            monotonic = asyncio.get_running_loop().time
            while not self.left:
                silent_for = monotonic() - self._last_sent_at
                if silent_for < seconds:
                    await asyncio.sleep(seconds - silent_for)
                elif self._sending or not at_boundary():
                    await asyncio.sleep(seconds / 4)
                else:
                    await self.write(_KEEPALIVE_COMMENT)

        with self._beside(keep_alive()):
            yield

    @contextmanager
    def _beside(self, work: Coroutine[Any, Any, None]) -> Iterator[None]:
        task = self._tasks.start(work, "beside an exchange")
        try:
            yield
        finally:
            task.cancel()
