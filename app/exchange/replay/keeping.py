"""Stands between an exchange and its caller, and keeps the answer where that is wanted. Where it is not, every part
goes straight to the caller, as if nothing stood between.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from app.errors import FilesUnavailable, GatewayError
from app.exchange.downstream import Downstream, EarlyHead, EventEnd
from app.exchange.replay.kept import Headers, KeptHead, head_of
from app.files.store.writer import FileWriter

_log = logging.getLogger("gateway")

ONLY_COPY_SECONDS = 15.0
"""How long an answer that nobody else has waits for a database that is away."""

ErrorEvent = Callable[[GatewayError, EventEnd], bytes]
MakeFile = Callable[[KeptHead], Awaitable[FileWriter]]


class ReceivingDownstream(Downstream, Protocol):
    """A downstream that knows whether its caller was given the last byte."""

    delivered: bool


class Followed(Protocol):
    """What others know of an answer who wait for it, too."""

    def begin_early(self, head: EarlyHead) -> None:
        """That is what it begins with while upstream is silent."""
        ...

    def begin(self, file: FileWriter) -> None:
        """It is kept in that file."""
        ...


class _Write(Protocol):
    async def __call__(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None: ...


class KeepingDownstream:
    """A Downstream. The answer is kept if `is_kept` says so from the beginning, or if the caller is gone before it was
    sent any of the body. `followed` is told of its beginning; `on_left` is called when the caller is gone.

    `file` is the file of a kept answer, whole once `is_whole`. A failure of the disk ends the keeping, not the answer;
    `loss` says so.
    """

    def __init__(
        self,
        inner: ReceivingDownstream,
        make_file: MakeFile,
        error_event: ErrorEvent,
        followed: Followed,
        on_left: Callable[[], None],
        *,
        is_kept: bool,
    ) -> None:
        self.inner = inner
        self.file: FileWriter | None = None
        self.is_whole = False
        self.loss: str | None = None
        self.error: GatewayError | None = None  # what the caller was to be told after the answer had begun
        self.has_body = False
        self._is_kept = is_kept
        self._make_file = make_file
        self._error_event = error_event
        self._followed = followed
        self._on_left = on_left
        self._begun: tuple[int, int | None] | None = None  # with which status and length
        self.write: _Write = self._write_first
        self.keep_alive = inner.keep_alive

    @property
    def headers(self) -> Headers:
        return self.inner.headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self.inner.headers = headers

    @property
    def event_end(self) -> EventEnd | None:
        return self.inner.event_end

    @event_end.setter
    def event_end(self, event_end: EventEnd | None) -> None:
        self.inner.event_end = event_end

    @property
    def left(self) -> bool:
        return self.inner.left

    @property
    def started(self) -> bool:
        return self._begun is not None or self.inner.started

    def begin_early(self, head: EarlyHead) -> None:
        self._followed.begin_early(head)
        self.inner.begin_early(head)

    async def start(self, status: int, content_length: int | None) -> None:
        self._begun = status, content_length
        if self._is_kept or self.inner.left:
            await self._keep_from_here()
        await self.inner.start(status, content_length)

    async def _keep_from_here(self) -> None:
        """Begins the file, if it is not begun yet."""
        if self._begun is None or self.file is not None:
            return
        status, content_length = self._begun
        try:
            self.file = await self._make_file(head_of(status, self.inner.headers, content_length))
        except FilesUnavailable as error:
            self._note_loss(error)
            return
        self._followed.begin(self.file)

    async def _write_first(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        if self._is_kept or self.inner.left:
            await self._keep_from_here()
        self.has_body = True
        self.write = self._write_both if self.file is not None else self.inner.write
        await self.write(chunk, is_whole=is_whole)

    async def _write_both(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        await self._keep(chunk)
        await self.inner.write(chunk, is_whole=is_whole)

    async def _keep(self, chunk: bytes | memoryview) -> None:
        if self.file is None:
            return
        try:
            await self.file.write(chunk)
        except FilesUnavailable as error:
            await self._lose_file(self.file, error)

    async def _lose_file(self, file: FileWriter, error: FilesUnavailable) -> None:
        self._note_loss(error)
        self.file = None
        await file.abort()

    def _note_loss(self, error: FilesUnavailable) -> None:
        self.loss = error.message
        _log.warning("answer_not_kept", extra={"reason": error.message})

    async def _commit(self, file: FileWriter) -> None:
        try:
            # Nobody else has an answer whose caller is gone.
            await file.commit(ONLY_COPY_SECONDS if self.inner.left else 0)
            self.is_whole = True
        except FilesUnavailable as error:
            await self._lose_file(file, error)

    async def finish(self) -> None:
        if self.file is not None:
            await self._commit(self.file)
        await self.inner.finish()

    async def fail(self, error: GatewayError) -> None:
        self.error = error
        if self.inner.event_end is not None:  # a stream says so, and is whole with that
            await self._keep(self._error_event(error, self.inner.event_end))
            if self.file is not None:
                await self._commit(self.file)
        await self.inner.fail(error)

    async def end_early(self, error: GatewayError) -> None:
        """The caller's answer ends here; what is kept goes on, for who sends the request again."""
        if not self.inner.delivered and not (self.started and self.inner.event_end is None):
            self._is_kept = self._is_kept or not self.has_body
            self._on_left()
        await self.inner.end_early(error)

    def watch(self, on_leave: Callable[[], None]) -> None:
        def leave() -> None:
            self._on_left()
            on_leave()

        self.inner.watch(leave)

    def close(self) -> None:
        if self._on_left is _nothing:
            return  # it is closed already
        self.inner.close()
        self._on_left = _nothing  # break the cycle with what it belongs to
        self.write = self.inner.write  # and this object's own


def _nothing(*_: object) -> None:
    """Nobody is interested any more."""
