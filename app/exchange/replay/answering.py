"""Answers a request with what another one bought: with a kept answer, with one that is still being made, or with the
failure it ended with. Buys nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing, suppress
from functools import partial

from starlette.responses import Response

from app.errors import AnswerLost, FilesUnavailable, Interrupted
from app.exchange.downstream import EarlyHead, no_event_begun
from app.exchange.in_flight import Exchanges, Place
from app.exchange.replay.attempts import Attempt
from app.exchange.replay.keeping import ReceivingDownstream
from app.exchange.replay.kept import KeptAnswer, KeptAnswers, KeptHead, head_of, read_kept
from app.exchange.replay.rules import AttemptState
from app.files.store.writer import Aborted

_REPLAYED = (b"x-gateway-replayed", b"true")
_EVENT_STREAM = b"text/event-stream"


class NothingBought(Exception):
    """The attempt ended before it bought anything: the request is a new one."""


class Answering:
    """One request that is answered so. Counts as a request in flight. `downstream` is its caller."""

    def __init__(self, shared: Exchanges, kept: KeptAnswers, user_id: str, downstream: ReceivingDownstream) -> None:
        self._shared = shared
        self._kept = kept
        self._user_id = user_id
        self._downstream = downstream
        self._begins_early = False
        self._waiting: asyncio.Timeout | None = None
        self._is_interrupted = False
        self.is_lost = False  # and that was the answer

    async def with_attempt(self, attempt: Attempt) -> None:
        """Ends when the caller has the answer, or is gone. Raises NothingBought, if nothing was sent; Overloaded;
        Interrupted at a stop that does not wait any longer."""
        await self._answer(partial(self._follow, attempt))

    async def with_file(self, file_id: str, request_id: str) -> None:
        """The same, with the answer in that file, of that request."""
        await self._answer(partial(self._send_file, file_id, request_id))

    async def with_loss(self, request_id: str) -> None:
        """The same, saying that the answer is lost."""
        await self._answer(partial(self._send_loss, request_id))

    async def _answer(self, send: Callable[[], Awaitable[None]]) -> None:
        shared, downstream = self._shared, self._downstream
        with Place(shared, self._user_id, self._interrupt), closing(downstream), suppress(TimeoutError):
            try:
                async with asyncio.timeout(None) as self._waiting:
                    downstream.watch(self._stop_waiting)
                    await send()
            finally:
                self._waiting = None
        if self._is_interrupted and not downstream.started:
            raise Interrupted(
                "The gateway stopped before the image was there. It was sent to ZenMux once and will be charged; "
                "sending it again may buy a second image."
            )

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.reschedule(self._shared.monotonic())

    def _interrupt(self) -> None:
        self._is_interrupted = True
        self._stop_waiting()

    def _begin_early(self, head: EarlyHead | None) -> None:
        """Who waits for another's answer waits as long as for one of its own, and is told the same."""
        if head is not None and not self._begins_early:
            self._begins_early = True
            self._downstream.begin_early(head._replace(headers=[*head_of(200, head.headers, None).headers, _REPLAYED]))

    async def _follow(self, attempt: Attempt) -> None:
        while True:
            self._begin_early(attempt.early_head)
            if attempt.failure is not None:
                await self._send_response(attempt.failure)
            elif attempt.state is AttemptState.KEPT and attempt.file_id is not None:
                await self._send_file(attempt.file_id, attempt.request_id)
            elif attempt.state is AttemptState.LOST:
                await self._send_loss(attempt.request_id)
            elif attempt.state is AttemptState.KEPT:
                raise NothingBought
            elif attempt.file is None:
                await attempt.moved()
                continue
            else:
                file = attempt.file
                try:
                    await self._send(await read_kept(file.follow()))
                except (Aborted, FilesUnavailable):
                    if not self._downstream.started:  # how it ended is known soon
                        while attempt.state is AttemptState.RUNNING:
                            await attempt.moved()
                        continue
            return

    async def _send_file(self, file_id: str, request_id: str) -> None:
        answer = await self._kept.open(file_id)
        if answer is None:
            await self._send_loss(request_id)
            return
        with suppress(FilesUnavailable):  # broken off, as far as it got
            await self._send(answer)

    async def _send_loss(self, request_id: str) -> None:
        self.is_lost = True
        await self._send_response(self._shared.error_response(answer_lost(request_id)))

    async def _send_response(self, response: Response) -> None:
        headers = [each for each in response.raw_headers if each[0] != b"content-length"]
        body = bytes(response.body)
        await self._send(KeptAnswer(KeptHead(response.status_code, headers, len(body)), _one(body)))

    async def _send(self, answer: KeptAnswer) -> None:
        """Begins once a byte of the body is there: an answer that breaks off before has another one instead."""
        head, downstream = answer.head, self._downstream
        is_stream = (b"content-type", _EVENT_STREAM) in head.headers
        if downstream.started and head.status != 200:  # early: too late for another status
            await self._send_late_failure(answer)
            return
        last = b""
        downstream.headers = [*head.headers, _REPLAYED]
        if is_stream:
            downstream.event_end = no_event_begun
            await downstream.start(head.status, None)
            downstream.keep_alive(self._shared.bounds.keepalive_seconds, lambda: last[-2:] in (b"", b"\n\n"))
        async with aclosing(answer.body) as body:
            async for chunk in body:
                if not downstream.started:
                    await downstream.start(head.status, head.content_length)
                await downstream.write(chunk, is_whole=True)
                last = bytes(chunk[-2:])
                del chunk  # not kept while the next one is read
        if not downstream.started:
            await downstream.start(head.status, head.content_length)
        await downstream.finish()

    async def _send_late_failure(self, answer: KeptAnswer) -> None:
        """A stream tells of it; a document is left unfinished, and whoever sends the request again gets it."""
        async with aclosing(answer.body) as body:
            whole = b"".join([chunk async for chunk in body])
        if self._downstream.event_end is not None:
            await self._downstream.write(b'event: error\ndata: {"type":"error",' + whole[1:] + b"\n\n")
            await self._downstream.finish()


def answer_lost(request_id: str) -> AnswerLost:
    """For an attempt whose answer nobody has."""
    return AnswerLost(
        f"This request was sent to ZenMux before, as {request_id}, and was or may have been bought. Its answer is "
        "lost, or kept where this gateway does not reach it. Nothing was bought now. Send it again to buy it anew; if "
        "it has an Idempotency-Key, with another one."
    )


def answer_not_kept(request_id: str, reason: str) -> AnswerLost:
    """For an attempt that was bought, and whose answer could not be kept."""
    return AnswerLost(
        f"The image was bought, and is charged as {request_id}. Its answer could not be kept, and is lost: {reason} "
        "Send the request again to buy it anew; if it has an Idempotency-Key, with another one."
    )


def failure_head(response: Response) -> KeptHead:
    """The head of a failure that is kept."""
    return head_of(response.status_code, list(response.raw_headers), len(bytes(response.body)))


async def _one(body: bytes) -> AsyncGenerator[bytes]:
    yield body
