"""An answer out of a kept one: streamed from where it lies, never held in memory."""

from collections.abc import Mapping
from contextlib import aclosing, closing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import FilesUnavailable
from app.exchange.asgi import AsgiDownstream
from app.exchange.in_flight import Exchanges
from app.exchange.replay.kept import KeptAnswer
from app.exchange.replay.serving import caller_of


class KeptResponse(Response):
    """Sends the body of `answer` between the two parts of `around`. One that cannot be sent whole is broken off."""

    def __init__(
        self,
        exchanges: Exchanges,
        answer: KeptAnswer,
        headers: Mapping[str, str],
        around: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.background = None
        self.status_code = 200
        self.body = b""
        self.init_headers(headers)
        self._exchanges = exchanges
        self._answer = answer
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        downstream = caller_of(self._exchanges, receive, send)
        with closing(downstream):
            await self.deliver(downstream)

    async def deliver(self, downstream: AsgiDownstream) -> None:
        """Sends it to that caller."""
        before, after = self._around
        downstream.headers = [each for each in self.raw_headers if each[0] != b"content-length"]
        length = len(before) + (self._answer.head.content_length or 0) + len(after)
        with suppress(FilesUnavailable):
            async with aclosing(self._answer.body) as body:
                async for chunk in body:  # its file is open until this has begun and ended
                    if not downstream.started:
                        await downstream.start(self.status_code, length)
                        await downstream.write(before)
                    if downstream.left:
                        return
                    await downstream.write(chunk)
                    del chunk  # not kept while the next one is read
            await downstream.write(after)
            await downstream.finish()


async def deliver(response: Response, downstream: AsgiDownstream) -> None:
    """Sends a response to a caller, who may leave meanwhile."""
    if isinstance(response, KeptResponse):
        await response.deliver(downstream)
        return
    downstream.headers = [each for each in response.raw_headers if each[0] != b"content-length"]
    await downstream.start(response.status_code, len(response.body))
    await downstream.write(response.body, is_whole=True)
    await downstream.finish()
