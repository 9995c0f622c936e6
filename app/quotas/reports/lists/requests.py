"""Single requests as the ledger has them, the newest first, a page at a time; with the correction of one that ended
after it had expired.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal_column, select, tuple_

from app.database.clock import to_ms
from app.database.schema import identity_tables, ledger_tables

_rows = ledger_tables.reservations.c
_late = ledger_tables.corrections.c
_LATE = ("corrected_at_ms", "charged_images", "charged_tokens", "charged_nanousd")


@dataclass(frozen=True, slots=True)
class WantedRequests:
    """Which requests. None means any. `since` is included, `until` is not. `values` are exact, by column."""

    values: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    is_pending: bool = False


def read_requests(
    connection: Connection, wanted: WantedRequests, after: tuple[int, str] | None, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` requests after that one (its time and id): newest first; pending ones oldest first."""
    query = _select().where(*_conditions(wanted))
    place = tuple_(_rows.reserved_at_ms, _rows.id)
    if wanted.is_pending:
        query = query.order_by(_rows.reserved_at_ms, _rows.id)
        query = query if after is None else query.where(place > after)
    else:
        query = query.order_by(_rows.reserved_at_ms.desc(), _rows.id.desc())
        query = query if after is None else query.where(place < after)
    return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]


def read_request(connection: Connection, request_id: str) -> dict[str, Any] | None:
    """The request with this id, or None."""
    row = connection.execute(_select().where(_rows.id == request_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def _conditions(wanted: WantedRequests) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_rows[column] == value for column, value in wanted.values]
    if any(column == "outcome" and value != "completed" for column, value in wanted.values):
        found.append(_rows.outcome != literal_column("'completed'"))  # as the index of these says it: IS_UNUSUAL
    if ("state", "expired") in wanted.values:
        found.append(_rows.id.in_(select(_rows.id).where(ledger_tables.IS_EXPIRED)))
    if wanted.is_pending:
        found.append(_rows.id.in_(select(_rows.id).where(ledger_tables.IS_PENDING)))
    if wanted.since is not None:
        found.append(_rows.reserved_at_ms >= to_ms(wanted.since))
    if wanted.until is not None:
        found.append(_rows.reserved_at_ms < to_ms(wanted.until))
    return found


def _select() -> Select[Any]:
    users, teams, keys = identity_tables.users.c, identity_tables.teams.c, identity_tables.keys.c
    late = (_late[name].label(f"late_{name}") for name in _LATE)
    names = (users.name.label("user_name"), teams.name.label("team_name"), keys.name.label("key_name"))
    return (
        select(ledger_tables.reservations, *names, *late)
        .outerjoin(identity_tables.users, users.id == _rows.user_id)
        .outerjoin(identity_tables.teams, teams.id == _rows.team_id)
        .outerjoin(identity_tables.keys, keys.id == _rows.key_id)
        .outerjoin(ledger_tables.corrections, _late.reservation_id == _rows.id)
    )
