"""The use case of the list of changes: who changed what, when, and what it was before."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from app.admin.operator import Operator
from app.admin.views import iso
from app.database import changes
from app.database.changes import RecordedChange, Wanted
from app.identity.people.teams import find_team
from app.identity.people.users import find_user


@contextmanager
def list_changes(operator: Operator, wanted: Wanted, limit: int) -> Iterator[Iterator[RecordedChange]]:
    """The newest `limit` changes, newest first, read from the database as they are taken: take them inside the block.

    The target is a user's or team's name, or an id: people know the name, the list has the id.
    """
    with operator.reading() as connection:
        target = None if wanted.target is None else _id_of(connection, wanted.target)
        yield changes.list_changes(connection, limit, replace(wanted, target=target))


def change_json(change: RecordedChange) -> dict[str, Any]:
    """A change for programs."""
    return {
        "id": change.id,
        "at": iso(change.at),
        "actor": change.actor,
        "action": change.action,
        "target": change.target,
        "before": change.before,
        "after": change.after,
    }


def _id_of(connection: Connection, name: str) -> str:
    owner = find_user(connection, name) or find_team(connection, name)
    return owner.id if owner is not None else name.strip()
