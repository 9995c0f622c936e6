"""What an exchange asks of its caller's side: a socket today, a job's file or a replay tomorrow. No HTTP, no money."""

from collections.abc import Callable
from typing import Protocol

from app.errors import GatewayError

EventEnd = Callable[[bytes], bytes]
"""Ends an event that was cut in its middle; a last field is given to it, if there is a place for one."""


class Downstream(Protocol):
    """Takes one answer: `start`, `write` for each part, then `finish` or `fail`; `close` last, whatever happened.

    Nothing here raises because the caller is gone: `left` says so, and sending is a no-op from then on, so that the
    answer can be read to its end. A caller that takes nothing for too long counts as gone. `headers` go out with
    `start`. `event_end` is set before `start` where the answer is an event stream.
    """

    headers: list[tuple[bytes, bytes]]
    event_end: EventEnd | None
    left: bool
    started: bool

    async def start(self, status: int, content_length: int | None) -> None: ...

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        """Take a part of the body, which is not kept after this returns. `is_whole`: nothing more is to come if this is
        the last that was announced; the answer is finished with it then."""
        ...

    async def finish(self) -> None:
        """End the answer well. One that is not finished is broken off, and its caller sees the cut."""
        ...

    async def fail(self, error: GatewayError) -> None:
        """End an answer that has begun with an error, where it can tell of one: a document cannot, and is left
        unfinished. Does nothing where none has begun: then the error is raised to whoever runs the exchange."""
        ...

    async def end_early(self, error: GatewayError) -> None:
        """Tell the caller of an error now, also where no answer has begun, and take nothing afterwards. Does nothing to
        a document that has begun."""
        ...

    def watch(self, on_leave: Callable[[], None]) -> None:
        """From now until `close`, call `on_leave` once, when the caller leaves or takes nothing for too long."""
        ...

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """Until the answer ends, send a comment whenever nothing was sent for `seconds`, never in the middle of an
        event."""
        ...

    def close(self) -> None:
        """Send nothing any more, and end what `watch` and `keep_alive` began."""
        ...
