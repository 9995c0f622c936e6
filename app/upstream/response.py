"""A 2xx answer of ZenMux while it comes, and what it means if it breaks. Knows no request and no money."""

import httpx2

from app.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from app.upstream.headers import content_length, media_type, response_headers, upstream_request_id
from app.upstream.sending import FAILURES
from app.upstream.wire.chunks import Chunk, Chunks


class UpstreamResponse:
    """A 2xx answer whose body has not been read. `headers` may be passed to the caller unchanged. Close it."""

    def __init__(self, status: int, received: list[tuple[str, str]], chunks: Chunks) -> None:
        named = dict(received).get
        self._chunks = chunks
        self.status = status
        self.headers = response_headers(received)
        self.request_id = upstream_request_id(received)
        self.content_type = media_type(named("content-type", ""))
        self.content_length = content_length(named("content-length", ""), named("content-encoding", ""))

    async def read(self) -> Chunk | None:
        """The next bytes of the body as they come; None at its end. While nobody reads, ZenMux must wait.

        Raises UpstreamTimeout; UpstreamBroken if the body ends before its framing says so.
        """
        try:
            return await self._chunks.read()
        except FAILURES as error:
            raise of_answer(failed(error), self.status, self.request_id) from error

    async def aclose(self) -> None:
        """Ends the connection, if the body has not come whole. May be called more than once."""
        await self._chunks.aclose()


def of_answer(error: UpstreamError, status: int, request_id: str | None) -> UpstreamError:
    """Adds to the error the answer it belongs to."""
    if error.request_id is None:
        error.request_id, error.answered_status = request_id, status
    return error


def failed(error: Exception) -> UpstreamError:
    """What a transport's failure means, if something may have been sent."""
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout("ZenMux did not answer in time.", kind="silence")
    return UpstreamBroken("The connection to ZenMux broke before its answer was whole.", kind="connection_broken")
