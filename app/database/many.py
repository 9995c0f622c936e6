"""Many rows of a table at once: a statement for all that are new, one for all that are changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, update

Row = Mapping[str, object]


def write_rows(connection: Connection, table: Table, new: Sequence[Row], changed: Sequence[tuple[object, Row]]) -> None:
    """Inserts the new rows; gives each changed one, by its `id`, the given values. All changed rows have the same
    columns.
    """
    if new:
        connection.execute(insert(table), [dict(row) for row in new])
    if changed:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changed[0][1]}
        rows = [{"row_id": row_id, **{f"new_{name}": value for name, value in row.items()}} for row_id, row in changed]
        connection.execute(update(table).where(table.c.id == bindparam("row_id")).values(values), rows)


def differing(before: Row, after: Row) -> tuple[Row, Row]:
    """The parts of both that are not the same in both."""
    names = [name for name, value in after.items() if before.get(name) != value]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
