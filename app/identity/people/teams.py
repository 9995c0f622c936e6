"""Teams: made, found, listed. Each change is recorded in its transaction, which the caller opens and ends."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from app.database.changes import Change, lock_changes
from app.database.clock import from_ms
from app.database.schema.identity_tables import teams
from app.errors import Conflict
from app.identity.people.many import TeamRow, write_teams
from app.identity.people.names import checked_name, spelled


@dataclass(frozen=True, slots=True)
class Team:
    """People whose use counts together."""

    id: str
    name: str
    created_at: datetime
    managed_by: str | None = None  # what setup/managed.py reads


def create_team(connection: Connection, name: str, *, change: Change) -> Team:
    """A new team. Raises InvalidValue when the name is no name, Conflict when it is taken."""
    name = checked_name(name, "team")
    lock_changes(connection)
    if find_team(connection, name) is not None:
        raise Conflict(f"There is a team {name} already.")
    new = TeamRow(f"team_{change.new_id()}", name, None)
    write_teams(connection, [(None, new)], change)
    return _team_of(connection.execute(select(teams).where(teams.c.id == new.id)).one())


def find_team(connection: Connection, name_or_id: str) -> Team | None:
    """The team with this id; if there is none, the one with this name; or None."""
    wanted = spelled(name_or_id)
    if not wanted.isprintable():  # PostgreSQL accepts no NUL, and neither engine half a surrogate pair
        return None
    for column in (teams.c.id, teams.c.name):
        row = connection.execute(select(teams).where(column == wanted)).first()
        if row is not None:
            return _team_of(row)
    return None


def list_teams(connection: Connection) -> list[Team]:
    """Every team, by name."""
    found = [_team_of(row) for row in connection.execute(select(teams))]
    return sorted(found, key=lambda team: (team.name.casefold(), team.name))


def _team_of(row: Row[Any]) -> Team:
    return Team(id=row.id, name=row.name, created_at=from_ms(row.created_at_ms), managed_by=row.managed_by)
