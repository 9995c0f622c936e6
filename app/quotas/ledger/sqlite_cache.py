"""What the ledger need not read again of an SQLite file that nobody else has written to. Pure: it is told the file's
version, and never guesses. docs/decisions/0011 says why this is exact."""

from collections.abc import Iterable, Mapping

from app.quotas.ledger.execute import AppliedCounters
from app.quotas.ledger.rows import Record
from app.quotas.rules.applicable import ApplicableLimits
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.reservation import State

_RECORDS_MAX = 10_000
_COUNTERS_MAX = 5_000

_PENDING = State.PENDING.value


class SqliteCache:
    """The limits' revision, pending reservations and counters, as one connection read them or wrote them itself.

    They are what the file says as long as its `PRAGMA data_version` is the same: that changes with every commit of
    another connection, and with none of this one's. Counters and records are brought forward in the midst of a
    transaction, so a memory ends with the connection whose transaction failed. Bounded.
    """

    def __init__(self) -> None:
        self._version: int | None = None
        self._forget()

    def turn_to(self, version: int) -> None:
        """At the beginning of a transaction, with the write lock held: forgets everything if another connection has
        committed since the last one, or if it is too much."""
        too_much = (
            len(self._records) > _RECORDS_MAX or max(len(self.counters), len(self.applied_counters)) > _COUNTERS_MAX
        )
        if version != self._version or too_much:
            self._forget()
            self._version = version

    def records_of(self, ids: Iterable[str]) -> dict[str, Record]:
        """Those that are remembered. Of the others nothing is known: they may exist."""
        records = self._records
        return {id_: records[id_] for id_ in ids if id_ in records}

    def keep(self, records: Mapping[str, Record]) -> None:
        """After the commit: these are as they stand now. What has ended is asked for seldom, and let go of."""
        for id_, record in records.items():
            if record.state == _PENDING:
                self._records[id_] = record
            else:
                self._records.pop(id_, None)

    def _forget(self) -> None:
        self.revision: int | None = None
        self.counters: dict[CounterKey, Counter] = {}
        self.applied_counters: dict[ApplicableLimits, AppliedCounters] = {}  # made of these counters
        self._records: dict[str, Record] = {}
