"""Usage reports: exact sums over the records, by who, what or when. Reads only; memory is bounded by the groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, cast, func, select

from app.database import schema
from app.database.clock import from_ms, to_ms
from app.quotas.reservation import State, UsageSource

_DAY_MS = 86_400_000
_rows = schema.reservations.c


class By(StrEnum):
    """What a report groups by."""

    USER = "user"
    TEAM = "team"
    KEY = "key"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group's use. Requests that cost nothing are told apart: `free_requests`. Money is nano-USD."""

    group: str
    requests: int
    free_requests: int
    estimated_requests: int
    images: int
    input_tokens: int
    output_tokens: int
    nanousd: int


def usage_report(connection: Connection, by: By, since: datetime | None, until: datetime | None) -> Iterator[UsageRow]:
    """The groups in order of their name, over requests reserved from `since` up to, not including, `until`."""
    group, source = _group(by)
    charged = func.coalesce(_rows.charged_requests, 0)
    estimated = and_(_rows.usage_source == UsageSource.ESTIMATED.value, charged > 0)

    def total(column: ColumnElement[int]) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(column), 0), BigInteger)

    query = (
        select(
            group.label("name"),
            total(charged),
            total(case((charged == 0, 1), else_=0)),
            total(case((estimated, 1), else_=0)),
            total(_rows.charged_images),
            total(func.coalesce(_rows.input_text_tokens, 0) + func.coalesce(_rows.input_image_tokens, 0)),
            total(func.coalesce(_rows.output_text_tokens, 0) + func.coalesce(_rows.output_image_tokens, 0)),
            total(_rows.charged_nanousd),
        )
        .select_from(source)
        .where(_rows.state != State.PENDING.value)
        .group_by(group)
        .order_by(group)
    )
    if since is not None:
        query = query.where(_rows.reserved_at_ms >= to_ms(since))
    if until is not None:
        query = query.where(_rows.reserved_at_ms < to_ms(until))
    for name, *numbers in connection.execution_options(yield_per=1000).execute(query):
        yield UsageRow(_shown(by, name), *(int(number) for number in numbers))


def _group(by: By) -> tuple[ColumnElement[Any], Any]:
    table = schema.reservations
    match by:
        case By.USER:
            return schema.users.c.name, table.join(schema.users, schema.users.c.id == _rows.user_id)
        case By.TEAM:
            joined = table.outerjoin(schema.teams, schema.teams.c.id == _rows.team_id)
            return func.coalesce(schema.teams.c.name, "(no team)"), joined
        case By.KEY:
            return _rows.key_id, table
        case By.MODEL:
            return _rows.model, table
        case By.DAY:
            return _rows.reserved_at_ms - _rows.reserved_at_ms % _DAY_MS, table


def _shown(by: By, name: Any) -> str:  # noqa: ANN401 - what the database groups by
    return from_ms(int(name)).strftime("%Y-%m-%d") if by is By.DAY else str(name)
