"""What is used and left of each limit. SQL away from the hot path; reads only. Every function blocks."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, tuple_

from app.database.clock import to_ms
from app.database.engine import reading
from app.database.schema import limit_tables
from app.quotas.ledger.sql.counter_sum import counter_sum
from app.quotas.limits.manage import limits_where
from app.quotas.rules.counters import Counter, CounterKey
from app.quotas.rules.limits import Limit, Scope, format_limit
from app.quotas.rules.windows import span_ms, window_end

_COUNTER = (
    f"SELECT {', '.join(field.name for field in fields(Counter))} FROM counters "  # noqa: S608 - names of ours
    'WHERE scope = ? AND scope_id = ? AND model = ? AND "window" = ? AND window_start_ms = ?'
)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit and what is left of it. `used` counts settled and `pending`; amounts are in the limit's own unit."""

    limit: Limit
    used: int
    pending: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        return max(self.limit.amount - self.used, 0)

    @property
    def written(self) -> str:
        return format_limit(self.limit)

    def may_apply_to(self, models: Container[str] | None) -> bool:
        """Whether the limit counts any of these models. None means every model."""
        return not self.limit.model or models is None or self.limit.model in models

    @property
    def scope(self) -> Scope:
        return self.limit.scope

    @property
    def shadow(self) -> bool:
        return self.limit.shadow


def limit_status_of_key(
    connection: Connection, key_id: str, user_id: str, team_id: str | None, now: datetime
) -> list[LimitStatus]:
    """Every limit that applies to a key, of every scope and model: the key's own first, the gateway's last."""
    scopes = [(Scope.KEY, key_id), (Scope.USER, user_id), (Scope.GATEWAY, "")]
    if team_id is not None:
        scopes.insert(2, (Scope.TEAM, team_id))
    condition = tuple_(limit_tables.limits.c.scope, limit_tables.limits.c.scope_id).in_(scopes)
    limits = limits_where(connection, condition)
    order = [scope for scope, _ in scopes]
    return limit_statuses(connection, sorted(limits, key=lambda limit: order.index(limit.scope)), now)


def read_limit_status(
    engine: Engine, key_id: str, user_id: str, team_id: str | None, now: datetime
) -> list[LimitStatus]:
    """The same as `limit_status_of_key`, in a transaction of its own. Raises StoreUnavailable."""
    with reading(engine) as connection:
        return limit_status_of_key(connection, key_id, user_id, team_id, now)


def limit_statuses(connection: Connection, limits: Iterable[Limit], now: datetime) -> list[LimitStatus]:
    """The status of each of `limits` at `now`. A limit without use in this window has no counter; its status is read
    from the rows.
    """
    counters: dict[CounterKey, Counter] = {}
    found = []
    for limit in limits:
        start_ms, _ = span_ms(limit.counter_window, to_ms(now))
        key = CounterKey(limit.scope, limit.scope_id, limit.model, limit.counter_window, start_ms)
        if key not in counters:
            counters[key] = read_counter(connection, key)
        found.append(status_of(limit, counters[key], now))
    return found


def status_of(limit: Limit, counter: Counter, now: datetime) -> LimitStatus:
    """The status of a limit that looks at `counter`."""
    pending, present = counter.pending(limit.unit), limit.at(to_ms(now))
    return LimitStatus(present, counter.settled(limit.unit) + pending, pending, window_end(limit.window, now))


def read_counter(connection: Connection, key: CounterKey) -> Counter:
    """The counter as the ledger has it, or would make it. Plain SQL text, because a scrape of the metrics asks for
    hundreds.
    """
    found = _row(connection, _COUNTER, key) or _row(connection, *counter_sum(key))
    assert found is not None
    return Counter(*(int(value or 0) for value in found))


def _row(connection: Connection, text: str, values: Sequence[object]) -> Row[Any] | None:
    written = text if connection.dialect.name == "sqlite" else text.replace("?", "%s")
    return connection.exec_driver_sql(written, tuple(values)).one_or_none()
