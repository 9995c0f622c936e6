"""Who used what: sums over reservations, made by the database, passed on row by row. Reads only; exact integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, cast, func, literal, null, select

from app.database import schema
from app.database.clock import from_ms, to_ms

_DAY_MS = 86_400_000
_PAGE = 1000

_rows = schema.reservations.c


class Grouping(StrEnum):
    """What a line of the report is about."""

    USER = "user"
    TEAM = "team"
    KEY = "key"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Use of one user, team, key, model or UTC day. `id` is '' for requests without a team.

    `requests` are all that passed their limits; of these `pending` still run, `released` cost nothing, `estimated`
    are charged an estimate and `unpriced` are charged a maximum because their price is unknown. What is pending is in
    none of the amounts.
    """

    id: str
    name: str
    requests: int
    pending: int
    released: int
    estimated: int
    unpriced: int
    images: int
    tokens: int
    input_text_tokens: int
    input_image_tokens: int
    output_text_tokens: int
    output_image_tokens: int
    nanousd: int


def usage_report(
    connection: Connection, by: Grouping, since: datetime | None = None, until: datetime | None = None
) -> Iterator[UsageRow]:
    """Use of the reservations made from `since` on and before `until`, in the order of their ids (days: of time).

    Memory stays bounded, however many there are: consume it inside the transaction it was begun in.
    """
    query = _query(Grouping(by))
    if since is not None:
        query = query.where(_rows.reserved_at_ms >= to_ms(since))
    if until is not None:
        query = query.where(_rows.reserved_at_ms < to_ms(until))
    for group, name, *sums in connection.execute(query, execution_options={"yield_per": _PAGE}):
        id_ = f"{from_ms(group * _DAY_MS):%Y-%m-%d}" if by == Grouping.DAY else group
        yield UsageRow(id_, name or id_, *sums)


def _query(by: Grouping) -> Select[Any]:
    match by:
        case Grouping.USER:
            return _grouped(_rows.user_id, schema.users)
        case Grouping.TEAM:
            return _grouped(_rows.team_id, schema.teams)
        case Grouping.KEY:
            return _grouped(_rows.key_id, schema.keys)
        case Grouping.MODEL:
            group: ColumnElement[Any] = _rows.model
        case Grouping.DAY:
            group = _rows.reserved_at_ms // literal(_DAY_MS, BigInteger, literal_execute=True)
    return select(group, null(), *_sums()).group_by(group).order_by(group)


def _grouped(column: ColumnElement[Any], owners: Table) -> Select[Any]:
    """By an id that another table may have a name for; '' where there is no id."""
    group, name = func.coalesce(column, ""), owners.c.name
    joined = schema.reservations.outerjoin(owners, column == owners.c.id)
    return select(group, name, *_sums()).select_from(joined).group_by(column, name).order_by(group)


def _sums() -> list[ColumnElement[int]]:
    def total(column: ColumnElement[Any]) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(column), 0), BigInteger)

    def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count().filter(condition)

    return [
        func.count(),
        number(_rows.state == "pending"),
        number(_rows.usage_source == "none"),
        number(_rows.usage_source == "estimated"),
        number((_rows.priced.is_(False)) & (_rows.usage_source != "none")),
        *(
            total(column)
            for column in (
                _rows.charged_images,
                _rows.charged_tokens,
                _rows.input_text_tokens,
                _rows.input_image_tokens,
                _rows.output_text_tokens,
                _rows.output_image_tokens,
                _rows.charged_nanousd,
            )
        ),
    ]
