"""Asks ZenMux one question over a plain client, with the operator's proxy and certificates. Bounded in size and time.
Tries again, because a question only reads. Its errors are worded for the person at the terminal.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import httpx2

from app.errors import RemoteFailure
from app.settings.settings import Settings
from app.upstream.error_body import read_error_body
from app.upstream.network import Network

PASSING = frozenset({408, 429, 500, 502, 503, 504, 520, 524})
"""Statuses that another try may not meet."""

_TRIES = 3
_SECONDS_MAX = 60
_SILENCE_SECONDS = 20
_BYTES_MAX = 4_000_000

Sleep = Callable[[float], Awaitable[None]]


async def ask(
    settings: Settings,
    request: httpx2.Request,
    about: str,
    refusal: Callable[[int, str], RemoteFailure],
    sleep: Sleep = asyncio.sleep,
) -> bytes:
    """The body of a good answer. Takes a minute at most.

    `about` completes "ZenMux did not tell", and `refusal` words any status but 200, of which it is given the number and
    what the answer says. Raises RemoteFailure, and ConfigurationError for a proxy or a CA that cannot work.
    """
    try:
        async with Network(settings).client(request.url, _SILENCE_SECONDS) as client, asyncio.timeout(_SECONDS_MAX):
            for tried in range(_TRIES):
                if tried:
                    await sleep(2 ** (tried - 1))
                try:
                    status, body = await _exchange(client, request, about)
                except (httpx2.RequestError, ssl.SSLError) as error:
                    failure = RemoteFailure(f"ZenMux cannot be reached at ZENMUX_BASE_URL ({type(error).__name__}).")
                    continue
                if status == 200:
                    return body
                said = read_error_body(body).message
                failure = refusal(status, f"{status}: {said}" if said else str(status))
                if status not in PASSING:
                    break
    except TimeoutError:
        raise RemoteFailure(f"ZenMux did not tell within {_SECONDS_MAX} seconds {about}.") from None
    raise failure


async def _exchange(client: httpx2.AsyncClient, request: httpx2.Request, about: str) -> tuple[int, bytes]:
    response = await client.send(request, stream=True)
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _BYTES_MAX:
                raise RemoteFailure(f"ZenMux's answer, {about}, is over {_BYTES_MAX // 1_000_000} MB.")
    finally:
        await response.aclose()
    return response.status_code, bytes(body)
