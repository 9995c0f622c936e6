"""How each engine runs the ledger's statements on its driver's connection. SQLite is in this process: one call after
the other. PostgreSQL is behind a network: what can be sent together is sent before the first answer is waited for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from app.quotas.ledger.sql.statements import Statement, as_json

Row = tuple[Any, ...]
Values = Sequence[object]


class OnSqlite:
    """Runs statements on an `sqlite3.Connection`."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
        self._cursor = connection.cursor()

    def run(self, statements: Sequence[tuple[str, Values]]) -> list[list[Row]]:
        """The rows that each statement gives with its values, in order."""
        return [self._cursor.execute(text, values).fetchall() for text, values in statements]

    def select(self, statement: Statement, rows: Sequence[Values]) -> list[Row]:
        """All that a statement about these rows gives, in any order."""
        return [found for values in rows for found in self._cursor.execute(statement.for_each, values).fetchall()]

    def change(self, statement: Statement, rows: Sequence[Values]) -> None:
        """Changes as many rows as it is given; else RuntimeError is raised, at the latest where `together` ends."""
        if rows:
            self._cursor.executemany(statement.for_each, rows)
            _check_changed(self._cursor, len(rows))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around calls of `change`, which are sent together where that saves time."""
        yield


class OnPostgresql:
    """Runs statements on a `psycopg.Connection`; the same methods."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
        connection.set_autocommit(True)  # else psycopg sends a BEGIN of its own, and waits for its answer
        self._connection = connection
        self._changing: list[tuple[Any, int]] = []  # cursors, and how many rows each must have changed

    def run(self, statements: Sequence[tuple[str, Values]]) -> list[list[Row]]:
        if not statements:
            return []
        with self._connection.pipeline():
            cursors = [self._connection.execute(_percent(text), values) for text, values in statements]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def select(self, statement: Statement, rows: Sequence[Values]) -> list[Row]:
        return self._execute(statement, rows).fetchall() if rows else []

    def change(self, statement: Statement, rows: Sequence[Values]) -> None:
        if rows:
            self._changing.append((self._execute(statement, rows), len(rows)))

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._connection.pipeline():
            yield
        changing, self._changing = self._changing, []
        for cursor, count in changing:
            _check_changed(cursor, count)

    def _execute(self, statement: Statement, rows: Sequence[Values]) -> Any:  # noqa: ANN401 - a cursor
        return self._connection.execute(statement.for_all, (as_json(statement.names, rows),))


def _check_changed(cursor: Any, count: int) -> None:  # noqa: ANN401 - a DBAPI cursor has no common type
    if cursor.rowcount != count:
        raise RuntimeError(f"{cursor.rowcount} rows changed instead of {count}")


def _percent(text: str) -> str:
    """Question marks as psycopg's placeholders. No statement of the ledger has either sign in another meaning."""
    return text.replace("?", "%s")
