"""The attempts that this process knows: those that run with an Idempotency-Key, and those that are undelivered."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from starlette.responses import Response

from app.exchange.downstream import EarlyHead
from app.exchange.replay.rules import RETRY_MS, Ask, AttemptState, Known
from app.files.store.writer import FileWriter

_COUNT_MAX = 10_000


class Attempt:
    """One attempt, and what those wait for who are answered with it.

    `early_head` is what its caller's answer begins with while upstream is silent; None until it is reserved, and where
    nothing begins early. `failure` is what its caller was told, or was to be told; `is_free`: it bought nothing;
    `is_over`: a taker has its last byte, so nobody else may have it.
    """

    __slots__ = (
        "_moved",
        "ask",
        "early_head",
        "expires_at_ms",
        "failure",
        "file",
        "file_id",
        "is_free",
        "is_over",
        "is_taken",
        "request_id",
        "state",
        "undelivered_at_ms",
    )  # fmt: skip

    def __init__(self, ask: Ask, request_id: str, expires_at_ms: int) -> None:
        self.ask = ask
        self.request_id = request_id
        self.expires_at_ms = expires_at_ms
        self.state = AttemptState.RUNNING
        self.undelivered_at_ms: int | None = None
        self.is_taken = False
        self.early_head: EarlyHead | None = None
        self.file: FileWriter | None = None
        self.file_id: str | None = None
        self.failure: Response | None = None
        self.is_free = False
        self.is_over = False
        self._moved: asyncio.Event | None = None

    @property
    def known(self) -> Known:
        ask = self.ask
        return Known(
            self.request_id,
            ask.fingerprint,
            self.state,
            is_here=True,
            expires_at_ms=self.expires_at_ms,
            idempotency_key=ask.idempotency_key,
            undelivered_at_ms=self.undelivered_at_ms,
            is_taken=self.is_taken,
        )

    def begin_early(self, head: EarlyHead) -> None:
        """Who waits for its answer may be given that head."""
        self.early_head = head
        self._move()

    def begin(self, file: FileWriter) -> None:
        """Its answer can be followed from now on."""
        self.file = file
        self._move()

    def end(self, state: AttemptState, file_id: str | None = None) -> None:
        self.state, self.file_id, self.file = state, file_id, None
        self._move()

    async def moved(self) -> None:
        """Waits until its answer begins, early or not, or it ends."""
        if self._moved is None:
            self._moved = asyncio.Event()
        await self._moved.wait()

    def _move(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set()


class Attempts:
    """Finds attempts by what they answer. Bounded: the oldest that do not run are forgotten first."""

    def __init__(self, count_max: int = _COUNT_MAX) -> None:
        self._count_max = count_max
        self._all: OrderedDict[str, Attempt] = OrderedDict()  # by request id
        self._like: dict[tuple[str, str, str], list[Attempt]] = {}

    def like(self, ask: Ask) -> Sequence[Attempt]:
        """Those that may concern `ask`."""
        return self._like.get(_place(ask), ())

    def find(self, request_id: str) -> Attempt | None:
        return self._all.get(request_id)

    def add(self, attempt: Attempt, now_ms: int) -> None:
        """Does nothing if it is there already."""
        if attempt.request_id in self._all:
            return
        self._all[attempt.request_id] = attempt
        self._like.setdefault(_place(attempt.ask), []).append(attempt)
        self._forget_old(now_ms)

    def remove(self, attempt: Attempt) -> None:
        if self._all.pop(attempt.request_id, None) is None:
            return
        place = _place(attempt.ask)
        rest = [other for other in self._like[place] if other is not attempt]
        if rest:
            self._like[place] = rest
        else:
            del self._like[place]

    def _forget_old(self, now_ms: int) -> None:
        for attempt in list(self._oldest_over(now_ms)):
            self.remove(attempt)

    def _oldest_over(self, now_ms: int) -> Iterator[Attempt]:
        excess = len(self._all) - self._count_max
        for attempt in self._all.values():
            if attempt.state is AttemptState.RUNNING or attempt.is_taken:
                if excess <= 0:
                    return
                continue
            if excess <= 0 and not _is_over(attempt, now_ms):
                return
            excess -= 1
            yield attempt


def _place(ask: Ask) -> tuple[str, str, str]:
    return ask.key_id, ask.operation, ask.idempotency_key or ask.fingerprint


def _is_over(attempt: Attempt, now_ms: int) -> bool:
    if attempt.ask.idempotency_key is not None:
        return attempt.expires_at_ms <= now_ms
    return attempt.undelivered_at_ms is None or now_ms - attempt.undelivered_at_ms >= RETRY_MS
