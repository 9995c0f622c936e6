"""Sends the events of the outbox to the operator's webhook, beside the requests: leased, signed, tried again.

At least once: if a process dies, or the database fails, between sending and noting it, the event is sent again. Never
logs the URL, the secret or the receiver's answer.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import httpx2
from sqlalchemy import Engine

from app.alerts.hook import Hook
from app.alerts.message import body_of, event_id, headers_of, seconds_until_next_try
from app.alerts.outbox import DueEvent, finish_tries, take_due
from app.database.clock import Clock
from app.database.readers import Readers

logger = logging.getLogger("gateway.webhooks")

_POLL_SECONDS = 10.0  # for retries, and for events of other processes
_AT_ONCE = 8
_TRY_SECONDS_MAX = 10.0
_OUTBOX_SECONDS_MAX = 30.0
_LEASE = timedelta(seconds=60)  # well beyond the longest try


class Sender:
    """The only sender of a process. For one event loop.

    `hook` None: nothing is sent. `jitter` gives a number in [0, 1), a new one each time. `count` gets the result of
    each try: `delivered`, `failed` (it will be tried again) or `given_up`. `new_client` makes the HTTP client for a
    URL, with the operator's proxy and certificates.
    """

    def __init__(
        self,
        engine: Engine,
        hook: Hook | None,
        clock: Clock,
        jitter: Callable[[], float],
        count: Callable[[str], None],
        new_client: Callable[[str], httpx2.AsyncClient],
    ) -> None:
        self._engine = engine
        self._hook = hook
        self._clock = clock
        self._jitter = jitter
        self._count = count
        self._new_client = new_client
        self._outbox = Readers(1, "webhooks")  # which writes, too
        self._woken = asyncio.Event()
        self._stopping = False

    def use(self, hook: Hook | None) -> None:
        """Sends there from now on. Tries that have begun end as they began."""
        self._hook = hook
        self.wake()

    def wake(self) -> None:
        """Tells `run` that there is something new."""
        self._woken.set()

    def stop(self) -> None:
        """Makes `run` end after the tries it has begun."""
        self._stopping = True
        self._woken.set()

    async def finish(self, running: "asyncio.Task[None]", seconds: float) -> None:
        """Stops `running`, which runs `run`. Tries that last longer are broken off: the next process sends the rest."""
        self.stop()
        await asyncio.wait([running], timeout=seconds)
        running.cancel()

    async def run(self) -> None:
        """Sends what is due: now, whenever it is woken, and at intervals. Runs until it is stopped."""
        while not self._stopping:
            self._woken.clear()
            try:
                await self.send_due()
            except Exception:  # whatever it is, the next event must still be sent
                logger.warning("webhooks_wait", exc_info=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()

    async def send_due(self) -> int:
        """Tries each event that is due once, and returns how many. Raises StoreUnavailable."""
        sent = 0
        while not self._stopping and (hook := self._hook) is not None:
            take = partial(take_due, self._engine, self._clock(), _LEASE, _AT_ONCE)
            events = await self._outbox.run(take, _OUTBOX_SECONDS_MAX)
            if not events:
                break
            async with self._new_client(hook.url) as client:
                next_tries = await asyncio.gather(*(self._send(event, hook, client) for event in events))
            # All at once, so that webhooks never make requests wait for a database connection.
            finish = partial(finish_tries, self._engine, list(zip(events, next_tries, strict=True)))
            await self._outbox.run(finish, _OUTBOX_SECONDS_MAX)
            sent += len(events)
        return sent

    async def _send(self, event: DueEvent, hook: Hook, client: httpx2.AsyncClient) -> datetime | None:
        """Makes one try. Returns when the next one is due, None for never."""
        failure = await self._post(event, hook, client)
        wait = None if failure is None else seconds_until_next_try(event.tries, self._jitter())
        result = "delivered" if failure is None else "given_up" if wait is None else "failed"
        level = {"delivered": logging.INFO, "failed": logging.WARNING, "given_up": logging.ERROR}[result]
        logger.log(
            level, f"webhook_{result}", extra={"event_id": event_id(event), "tries": event.tries, "reason": failure}
        )
        self._count(result)
        return None if wait is None else self._clock() + timedelta(seconds=wait)

    async def _post(self, event: DueEvent, hook: Hook, client: httpx2.AsyncClient) -> str | None:
        """None if the receiver accepted it, else the reason in a word. The answer's body is not read."""
        body = body_of(event)
        headers = headers_of(event, body, hook.secret, self._clock())
        try:
            request = httpx2.Request("POST", hook.url, content=body, headers=headers)
            async with asyncio.timeout(_TRY_SECONDS_MAX):
                answer = await client.send(request, stream=True)
                await answer.aclose()
        except TimeoutError:
            return "timeout"
        except (httpx2.RequestError, httpx2.InvalidURL, ssl.SSLError, ValueError) as error:
            return type(error).__name__
        return None if 200 <= answer.status_code < 300 else f"status {answer.status_code}"
