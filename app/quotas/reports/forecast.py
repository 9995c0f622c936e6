"""What a reservation would be answered now: the rules that the ledger reserves by, on what is read without a lock.

Reads only, and takes nothing: another request may be first. Every function blocks.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from app.database.clock import to_ms
from app.database.engine import reading
from app.database.schema import limit_tables
from app.quotas.limits.manage import limits_where
from app.quotas.reports.limit_status import LimitStatus, read_counter, status_of
from app.quotas.rules.admission import LimitRefusal, decide
from app.quotas.rules.applicable import LimitCache, Party
from app.quotas.rules.counters import amount_of
from app.quotas.rules.limits import Scope
from app.quotas.rules.reservation import Amounts

_ORDER = (Scope.KEY, Scope.USER, Scope.TEAM, Scope.GATEWAY)


@dataclass(frozen=True, slots=True)
class ForecastLimit:
    """A limit that applies, what the request needs of it (in the limit's unit), and whether that fits."""

    status: LimitStatus
    needed: int
    fits: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """`refusal` None: a reservation of these amounts would be taken. The key's own limits are first, the gateway's
    last. A shadow limit may not fit and refuses nothing."""

    limits: tuple[ForecastLimit, ...]
    refusal: LimitRefusal | None


def forecast(connection: Connection, party: Party, amounts: Amounts, now: datetime) -> Forecast:
    """What `party` would be answered for `amounts` at `now`."""
    cache = LimitCache()
    for scope, scope_id in cache.missing([party]):
        its = (limit_tables.limits.c.scope == scope) & (limit_tables.limits.c.scope_id == scope_id)
        cache.bring((scope, scope_id), limits_where(connection, its))
    applicable = cache.plan(party).applicable(to_ms(now))
    counters = [read_counter(connection, key) for key in applicable.keys]
    compared = [(limit, counters[look]) for limit, look in applicable.limits]
    found = []
    for limit, counter in compared:
        alone = decide([(limit, counter)], amounts, now)
        fits = alone.refusal is None and not alone.shadow
        found.append(ForecastLimit(status_of(limit, counter, now), amount_of(amounts, limit.unit), fits))
    found.sort(key=lambda each: _ORDER.index(each.status.scope))
    return Forecast(tuple(found), decide(compared, amounts, now).refusal)


def read_forecast(engine: Engine, party: Party, amounts: Amounts, now: datetime) -> Forecast:
    """The same, in a transaction of its own. Raises StoreUnavailable."""
    with reading(engine) as connection:
        return forecast(connection, party, amounts, now)
