"""Caches ledger rows of an SQLite file while no other connection commits. Pure: the caller passes the file's version.
docs/decisions/0011 says why this is exact.
"""

from collections.abc import Iterable, Mapping

from app.quotas.ledger.execute import AppliedCounters
from app.quotas.ledger.rows import Record
from app.quotas.rules.applicable import ApplicableLimits
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.reservation import PENDING

_RECORDS_MAX = 10_000
_COUNTERS_MAX = 5_000


class SqliteCache:
    """The limits' revision, pending reservations and counters, as one connection read or wrote them.

    They equal the file while its `PRAGMA data_version` is the same: that changes with every commit of another
    connection, and with no own commit. Counters and records are updated during a transaction, so after a failed
    transaction the cache ends with its connection. Bounded.
    """

    def __init__(self) -> None:
        self._version: int | None = None
        self._forget()

    def turn_to(self, version: int) -> None:
        """At the beginning of a transaction, with the write lock held: clears the cache if another connection has
        committed since the last transaction, or if the cache is too large.
        """
        too_much = (
            len(self._records) > _RECORDS_MAX or max(len(self.counters), len(self.applied_counters)) > _COUNTERS_MAX
        )
        if version != self._version or too_much:
            self._forget()
            self._version = version

    def records_of(self, ids: Iterable[str]) -> dict[str, Record]:
        """The cached ones. Nothing is known of the others: they may exist."""
        records = self._records
        return {id_: records[id_] for id_ in ids if id_ in records}

    def keep(self, records: Mapping[str, Record]) -> None:
        """After the commit: the current state of these rows. Closed reservations are dropped, because they are seldom
        needed.
        """
        for id_, record in records.items():
            if record.state == PENDING:
                self._records[id_] = record
            else:
                self._records.pop(id_, None)

    def _forget(self) -> None:
        self.revision: int | None = None
        self.counters: dict[CounterKey, Counter] = {}
        self.applied_counters: dict[ApplicableLimits, AppliedCounters] = {}  # made from these counters
        self._records: dict[str, Record] = {}
