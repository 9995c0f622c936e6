"""A caller on a socket, behind ASGI: sends, notices that the caller left, keeps a silent stream alive.

Knows nothing about what is sent, or about money.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Send

from app.errors import GatewayError
from app.exchange.downstream import EarlyHead, EventEnd
from app.exchange.tasks import Tasks

# One line end: an SDK that has read an `id:` would take a blank line after it for an empty event.
_KEEPALIVE_COMMENT = b": keep-alive\n"
_WHITE_SPACE = b" "  # which JSON allows before a value
ErrorEvent = Callable[[GatewayError, EventEnd], bytes]
ErrorResponse = Callable[[GatewayError], Response]


class AsgiDownstream:
    """A Downstream over ASGI's `receive` and `send`. A caller that accepts nothing for `stall_seconds` counts as gone.

    `error_event(error, event_end)` makes the bytes that end a stream with an error, `error_response` the whole answer
    that says so.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        tasks: Tasks,
        stall_seconds: float,
        error_event: ErrorEvent,
        error_response: ErrorResponse,
    ) -> None:
        self._receive = receive
        self._send = send
        self._tasks = tasks
        self._stall = _Stall(stall_seconds)
        self._error_event = error_event
        self._error_response = error_response
        self._sending = False
        self._monotonic = asyncio.get_running_loop().time
        self._last_sent_at = 0.0
        self._missing_bytes: int | None = None
        self._finished = False
        self._is_silent = False
        self._on_leave: Callable[[], None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._keeping_alive: asyncio.Task[None] | None = None
        self._at_boundary: Callable[[], bool] = _always
        self._filler = _KEEPALIVE_COMMENT
        self._early: asyncio.TimerHandle | None = None  # while nothing was sent
        self._early_head: asyncio.Task[None] | None = None  # on its way: everything else goes behind it
        self._awaits_document = False  # its head went out early, and nothing of its body is there
        self.has_chunks = True
        self.headers: list[tuple[bytes, bytes]] = []
        self.left = False
        self.delivered = False  # the last byte was sent before the caller left
        self.started = False
        self.event_end: EventEnd | None = None

    async def start(self, status: int, content_length: int | None) -> None:
        if self.started:  # early
            return
        self._stop_early()
        self.started = True
        self._missing_bytes = content_length
        length = [] if content_length is None else [(b"content-length", str(content_length).encode())]
        await self._pass({"type": "http.response.start", "status": status, "headers": [*self.headers, *length]})

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        self._awaits_document = False
        if self._missing_bytes is not None:
            self._missing_bytes -= len(chunk)
            self._finished = is_whole and self._missing_bytes == 0
        await self._pass({"type": "http.response.body", "body": chunk, "more_body": not self._finished})
        if self._finished:
            self.delivered = not (self.left or self._is_silent)

    async def finish(self) -> None:
        # White space and nothing else would be a success without an image.
        if not self._missing_bytes and not self._finished and not self._awaits_document:
            await self._end_body(b"")

    async def fail(self, error: GatewayError) -> None:
        if self.started and self.event_end is not None and not self._finished:
            await self._end_body(self._error_event(error, self.event_end))

    async def _end_body(self, chunk: bytes) -> None:
        self._finished = True
        self._stop_keeping_alive()
        await self._pass({"type": "http.response.body", "body": chunk, "more_body": False})
        self.delivered = not (self.left or self._is_silent)

    async def end_early(self, error: GatewayError) -> None:
        if self.started and self.event_end is None:
            return
        self._stop_early()
        self._unwatch()
        was_silent, self._is_silent = self._is_silent or self.left or self._sending or self._finished, True
        if was_silent:  # or a caller that accepts nothing: its connection just ends
            return
        await self._until_begun()
        if self.event_end is not None:
            body = self._error_event(error, self.event_end)
        else:
            answer = self._error_response(error)
            body = bytes(answer.body)
            head = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
            await self._send(head)
        self.started = self._finished = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def close(self) -> None:
        self._stall.close()
        self._stop_early()
        self._unwatch()
        self._stop_keeping_alive()
        if self._early_head is not None:  # its caller accepts nothing
            self._early_head.cancel()

    async def _pass(self, message: dict[str, Any]) -> None:
        if self.left or self._is_silent:
            return
        self._sending = True
        try:
            with self._stall:
                await self._until_begun()
                await self._send(message)
        except (TimeoutError, OSError):
            self._leave()
        finally:
            self._sending = False
            self._last_sent_at = self._monotonic()

    def watch(self, on_leave: Callable[[], None]) -> None:
        self._on_leave = on_leave
        self._watching = self._tasks.start(self._watch(), "watch a caller")

    def _unwatch(self) -> None:
        self._on_leave = None
        watching, self._watching = self._watching, None  # break the reference cycle here, not in the garbage collector
        if watching is not None:
            watching.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.left = True
        notify, self._on_leave = self._on_leave, None
        if notify is not None:
            notify()

    def begin_early(self, head: EarlyHead) -> None:
        if head.event_end is not None or self.has_chunks:
            self._early = asyncio.get_running_loop().call_later(head.after_seconds, self._begin_early, head)

    def _begin_early(self, early: EarlyHead) -> None:
        self._early = None
        if self.started or self.left or self._is_silent:
            return
        self.started, self.event_end = True, early.event_end
        if early.event_end is None:
            self._awaits_document, self._filler = True, _WHITE_SPACE
        self._last_sent_at = self._monotonic() - early.keepalive_seconds  # the first comment goes with the head
        head = {"type": "http.response.start", "status": 200, "headers": early.headers}
        self._early_head = self._tasks.start(self._send_early(head), "begin an answer")
        self._keeping_alive = self._tasks.start(self._keep_alive(early.keepalive_seconds), "keep an answer alive")

    async def _send_early(self, head: dict[str, Any]) -> None:
        with suppress(OSError):
            await self._send(head)

    async def _until_begun(self) -> None:
        """Waits for the early head, if there is one."""
        if self._early_head is not None:
            await asyncio.wait([self._early_head])
            self._early_head = None

    def _stop_early(self) -> None:
        timer, self._early = self._early, None
        if timer is not None:
            timer.cancel()

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        self._at_boundary = at_boundary
        if self._keeping_alive is None:
            self._keeping_alive = self._tasks.start(self._keep_alive(seconds), "keep a stream alive")

    async def _keep_alive(self, seconds: float) -> None:
        """Ends with the answer; of a document, once its body begins."""
        await self._until_begun()
        while not (self.left or self._is_silent or self._finished):
            if self._filler is _WHITE_SPACE and not self._awaits_document:
                return
            silent_for = self._monotonic() - self._last_sent_at
            if silent_for < seconds:
                await asyncio.sleep(seconds - silent_for)
            elif self._sending or not self._at_boundary():
                await asyncio.sleep(seconds / 4)
            else:
                # Unbounded: a caller that accepts no comment accepts no answer either, and that wait is bounded.
                with suppress(OSError):
                    body = self._filler
                    await self._send({"type": "http.response.body", "body": body, "more_body": True, "is_filler": True})
                self._last_sent_at = self._monotonic()

    def _stop_keeping_alive(self) -> None:
        task, self._keeping_alive = self._keeping_alive, None
        if task is not None:
            task.cancel()


def _always() -> bool:
    return True


class _Stall:
    """Bounds each of many short waits of one task, one after the other. Raises TimeoutError if one lasts `seconds`.

    Like asyncio.timeout, but with one timer that is moved only when it fires. Nearly all waits end at once, and then
    cost next to nothing.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None  # the task that waits now
        self._cancelling = 0  # how often the task was cancelled before it waited
        self._deadline = 0.0
        self._has_rung = False

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task(self._loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._task = self._task, None
        if self._has_rung:
            self._has_rung = False
            # If somebody else cancelled the task at the same time, that cancellation is passed on.
            if task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        else:
            self._has_rung = True
            self._task.cancel()
