"""Puts resolutions that the database does not accept on disk soon, and removes them once they are written.

Checks the writer's queue a few times a second, from a thread of its own, because the writer's thread may hang with the
database.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from app.quotas.ledger.commands import Resolve, Ticket
from app.quotas.ledger.spool.file import Kept, Spool
from app.quotas.ledger.writer import Writer
from app.quotas.rules.reservation import Resolution, State

_LOOK_SECONDS = 0.25
_WAIT_LOOKS = 8  # how many checks a database that is not known to be away may take over one resolution
_CLOSE_SECONDS = 5.0  # how long a hanging disk may delay the end of the process

_log = logging.getLogger(__name__)


ShowWaiting = Callable[[int, int], None]


class SpoolKeeper:
    """`tell` is called, in any thread, with resolutions that are safe on disk and not in the database yet.

    `on_disk` and `in_memory_only` are how many resolutions wait for the database. The second are those that the disk
    did not accept. `show` is called with both numbers when they change.
    """

    def __init__(
        self, spool: Spool, writer: Writer, tell: Callable[[Sequence[Ticket]], None], show: ShowWaiting
    ) -> None:
        self._spool = spool
        self._writer = writer
        self._tell = tell
        self._show = show
        self._shown = (0, 0)
        self._kept: dict[Ticket, Kept] = {}
        self._looks: dict[Ticket, int] = {}  # how often each of the others was seen waiting
        self._trouble = ""
        self._lock = threading.Lock()  # around all of the above
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-spool_keeper", daemon=True)
        self.in_memory_only = 0

    @property
    def on_disk(self) -> int:
        return len(self._kept)

    def start(self) -> None:
        """Starts checking. Logs at once if the disk could keep nothing, before it is needed."""
        try:
            self._spool.prepare()
        except OSError as error:
            self._note_trouble(str(error))
        self._thread.start()

    def take_over(self) -> None:
        """Gives the writer what dead processes left, before anything that is submitted later. Blocks on the disk."""
        with self._lock:
            if self._closing.is_set():
                return
            for kept in self._spool.take_over():
                # Its first process may have written it, and died before it removed the line.
                ticket = Ticket(kept.resolution, in_doubt=True)
                self._kept[ticket] = kept
                self._writer.submit(ticket)

    def look(self) -> None:
        """Removes what has been written. Keeps what waits too long, or everything while the database is away."""
        with self._lock:
            self._let_go()
            waiting = [ticket for ticket in self._writer.unwritten_resolutions() if ticket not in self._kept]
            self._looks = {ticket: self._looks.get(ticket, 0) + 1 for ticket in waiting}
            if not self._writer.is_store_away:
                waiting = [ticket for ticket in waiting if self._looks[ticket] > _WAIT_LOOKS]
            self._keep(waiting)
            waiting_now = (self.on_disk, self.in_memory_only)
            if waiting_now != self._shown:
                self._shown = waiting_now
                self._show(*waiting_now)

    def close(self, unwritten: Sequence[Ticket]) -> set[Ticket]:
        """The end, after the writer's: keeps the resolutions that it leaves, and returns all that are kept.
        Idempotent.
        """
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._let_go()
                self._keep([ticket for ticket in unwritten if ticket not in self._kept])
                self._spool.close()
            finally:
                self._lock.release()
        return set(self._kept)

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - a bug, whatever it is: the thread must live on
                _log.exception("the spool's keeper failed; it goes on")

    def _keep(self, tickets: Sequence[Ticket]) -> None:
        kept: list[Kept] = []
        reason = "it is full (GATEWAY_SPOOL_BYTES_MAX)"
        try:
            if tickets:
                kept = self._spool.keep([ticket.command for ticket in tickets if isinstance(ticket.command, Resolve)])
        except OSError as error:
            reason = str(error)
        safe = tickets[: len(kept)]
        if safe and not self._kept:
            _log.warning("settlements_spooled", extra={"settlements": len(safe)})
        self._kept.update(zip(safe, kept, strict=True))
        self.in_memory_only = len(tickets) - len(kept)
        if self.in_memory_only:
            self._note_trouble(reason)
        elif safe:
            self._trouble = ""
        if safe:
            self._tell(safe)

    def _let_go(self) -> None:
        done = [ticket for ticket in self._kept if ticket.outcome is not None]
        for ticket in done:
            kept = self._kept.pop(ticket)
            resolution, settlement = ticket.outcome, kept.resolution.settlement
            # A withdrawn hold may never have been taken: that was in doubt.
            expected = resolution in (Resolution.DONE, Resolution.CORRECTED) or (
                resolution is Resolution.UNKNOWN and settlement.state is State.RELEASED
            )
            if not expected:
                _log.error("spooled_settlement_not_written", extra=_settlement_fields(ticket, kept.resolution))
            self._spool.forget(kept, settled=expected or resolution is Resolution.ALREADY_RESOLVED)
        if done and not self._kept:
            _log.warning("spooled_settlements_written")

    def _note_trouble(self, reason: str) -> None:
        if reason != self._trouble:
            _log.error("spool_not_usable", extra={"reason": reason})
        self._trouble = reason


def _settlement_fields(ticket: Ticket, resolution: Resolve) -> dict[str, object]:
    """The amounts as well: the row in the ledger has others."""
    settlement, outcome = resolution.settlement, ticket.outcome
    return {
        "request_id": resolution.reservation_id,
        "resolution": outcome.value if isinstance(outcome, Resolution) else type(outcome).__name__,
        "state": settlement.state.value,
        "outcome": settlement.outcome,
        "usage_source": settlement.usage_source.value,
        "charged_images": settlement.charged.images,
        "charged_tokens": settlement.charged.tokens,
        "charged_nanousd": settlement.charged.nanousd,
    }
