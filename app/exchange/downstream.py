"""What an exchange asks of its caller's side: a socket today, a job's file or a replay tomorrow. No HTTP, no money."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from app.errors import GatewayError

EventEnd = Callable[[bytes], bytes]
"""Completes an event that was cut, with a last field if it can take one."""


def no_event_begun(_: bytes) -> bytes:
    """The EventEnd of a stream that has sent no event yet."""
    return b""


class EarlyHead(NamedTuple):
    """What an answer begins with while upstream is silent. `event_end` is that of a stream, None for a document."""

    after_seconds: float
    keepalive_seconds: float
    headers: list[tuple[bytes, bytes]]
    event_end: EventEnd | None


class Downstream(Protocol):
    """Takes one answer: `start`, `write` for each part, then `finish` or `fail`; `close` last, whatever happened.

    No method raises because the caller has left: `left` says so, and sending then does nothing, so the answer can be
    read to its end. A caller that accepts nothing for too long counts as gone. `headers` are sent by `start`.
    `event_end` is set before `start` if the answer is an event stream.
    """

    headers: list[tuple[bytes, bytes]]
    event_end: EventEnd | None

    @property
    def left(self) -> bool: ...
    @property
    def started(self) -> bool: ...

    async def start(self, status: int, content_length: int | None) -> None: ...

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        """Sends a part of the body, and does not keep it. `is_whole`: if this part is the last that was announced,
        nothing else follows, and the answer is finished with it."""
        ...

    async def finish(self) -> None:
        """Ends the answer well. An answer that is not finished is broken off, and its caller sees the cut."""
        ...

    async def fail(self, error: GatewayError) -> None:
        """Ends an answer that has begun with an error. A document has no place for one and is left unfinished. Does
        nothing if no answer has begun: the error is then raised to whoever runs the exchange."""
        ...

    async def end_early(self, error: GatewayError) -> None:
        """Sends the caller an error now, even if no answer has begun, and nothing afterwards. Does nothing to a
        document that has begun."""
        ...

    def watch(self, on_leave: Callable[[], None]) -> None:
        """From now until `close`, calls `on_leave` once, when the caller leaves or accepts nothing for too long."""
        ...

    def begin_early(self, head: EarlyHead) -> None:
        """If no answer has begun `after_seconds` from now, begins a 200, and keeps it alive: a stream with comments, a
        document with white space. From then on `started` is true, and a document that fails is left unfinished. Does
        nothing where that cannot be."""
        ...

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """Until the answer ends, sends a comment whenever nothing was sent for `seconds`, but never inside an event."""
        ...

    def close(self) -> None:
        """Sends nothing any more. Ends what `watch` and `keep_alive` began."""
        ...
