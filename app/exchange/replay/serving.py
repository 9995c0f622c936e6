"""A caller's image request as a response: it is bought, or answered with what was bought before."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.exchange.asgi import AsgiDownstream
from app.exchange.exchange import Exchange
from app.exchange.in_flight import Exchanges
from app.exchange.replay.replays import Incoming, Replays
from app.exchange.replay.rules import Ask
from app.telemetry.event import RequestEvent


class Serving(Response):
    """`new_exchange` makes what buys. `on_end` is awaited at the end, whatever happened."""

    def __init__(
        self,
        replays: Replays,
        ask: Ask,
        user_id: str,
        event: RequestEvent,
        new_exchange: Callable[[RequestEvent], Exchange],
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._replays = replays
        self._ask = ask
        self._user_id = user_id
        self._event = event
        self._new_exchange = new_exchange
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            downstream = caller_of(self._replays.exchanges, receive, send)
            downstream.has_chunks = scope["http_version"] != "1.0"
            await self._replays.serve(Incoming(self._ask, self._user_id, self._event, downstream), self._new_exchange)
        finally:
            if self._on_end is not None:
                await self._on_end()


def caller_of(exchanges: Exchanges, receive: Receive, send: Send) -> AsgiDownstream:
    """The caller on a socket."""
    stall_seconds = exchanges.bounds.client_stall_seconds
    return AsgiDownstream(
        receive, send, exchanges.tasks, stall_seconds, exchanges.error_event, exchanges.error_response
    )
