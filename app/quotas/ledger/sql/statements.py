"""Statements about many rows of one table, in the words of both engines. SQLite runs its statement once for each row.
PostgreSQL runs one for all of them, which come as one JSON value. Pure; store.py runs them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

Names = Sequence[str]


class Statement(NamedTuple):
    """`for_each`: SQLite's, with a question mark for each value of a row. `for_all`: PostgreSQL's, with one placeholder
    for all rows. `names`: the columns that a row's values are about.
    """

    for_each: str
    for_all: str
    names: Names


def insert(table: str, names: Names, then: str = "", *, ordered_by: Names = ()) -> Statement:
    """Inserts rows. `then` is what follows: what to do with rows that exist, what to return.

    PostgreSQL inserts, and so locks, them in the order of these columns, however they were given.
    """
    columns = comma(names)
    order = f" ORDER BY {_in_order(ordered_by)}" if ordered_by else ""
    return Statement(
        f"INSERT INTO {table} ({columns}) VALUES ({comma('?' * len(names))}) {then}",  # noqa: S608 - names of ours
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {_given(table)}{order} {then}",  # noqa: S608 - names of ours
        names,
    )


def update(table: str, names: Names, key: Names, *, only_pending: bool = False) -> Statement:
    """Gives each row new values: first these are given, then those of its key. `only_pending`: other rows stay as they
    are.
    """
    for_each, for_all = match(key), _is_given(table, key)
    if only_pending:
        for_each += " AND state = 'pending'"
        # As a plain condition it would make PostgreSQL compare all pending rows, which have an index, with all that are
        # given. So it looks each one up by its key first.
        for_all += f" AND {table}.state || given.{key[0]} = 'pending' || given.{key[0]}"
    return Statement(
        f"UPDATE {table} SET {comma(f'{name} = ?' for name in names)} WHERE {for_each}",  # noqa: S608 - names of ours
        f"UPDATE {table} SET {comma(f'{name} = given.{name}' for name in names)} FROM {_given(table)} WHERE {for_all}",  # noqa: S608 - names of ours
        (*names, *key),
    )


def delete(table: str, key: Names) -> Statement:
    """Deletes the rows of these keys."""
    return Statement(
        f"DELETE FROM {table} WHERE {match(key)}",  # noqa: S608 - names of ours
        f"DELETE FROM {table} USING {_given(table)} WHERE {_is_given(table, key)}",  # noqa: S608 - names of ours
        key,
    )


def select_locked(table: str, names: Names, key: Names) -> Statement:
    """Reads the rows of these keys. PostgreSQL locks them in the order of their keys, however they were given."""
    return Statement(
        f"SELECT {comma(names)} FROM {table} WHERE {match(key)}",  # noqa: S608 - names of ours
        f"SELECT {comma(f'{table}.{name}' for name in names)} "  # noqa: S608 - names of ours
        f"FROM {table} JOIN {_given(table)} ON {_is_given(table, key)} "
        f"ORDER BY {_in_order(f'{table}.{name}' for name in key)} FOR UPDATE OF {table}",
        key,
    )


def as_json(names: Names, rows: Iterable[Sequence[object]]) -> str:
    """Rows as PostgreSQL's statement takes them."""
    plain = [name.strip('"') for name in names]
    return orjson.dumps([dict(zip(plain, row, strict=True)) for row in rows]).decode()


def comma(names: Iterable[str]) -> str:
    return ", ".join(names)


def match(names: Names) -> str:
    return " AND ".join(f"{name} = ?" for name in names)


def _given(table: str) -> str:
    """The rows that were given, with the types of the table's columns."""
    return f"json_populate_recordset(NULL::{table}, %s) AS given"


def _is_given(table: str, key: Names) -> str:
    return " AND ".join(f"{table}.{name} = given.{name}" for name in key)


def _in_order(names: Iterable[str]) -> str:
    """All processes lock in one order; "C" is the same in every database, and Python's own. Times are numbers."""
    return comma(name if name.endswith("_ms") else f'{name} COLLATE "C"' for name in names)
