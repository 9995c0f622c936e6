"""Teams and users, many at once, as a file wants them: made or changed, one line in the list of changes for each.

In the caller's transaction, which holds the lock on changes since it read what is there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from app.database.changes import Change, Values, differing, record_changes, write_rows
from app.database.clock import to_ms
from app.database.schema.identity_tables import teams, users


@dataclass(frozen=True, slots=True)
class TeamRow:
    """A team as it is, or is to be. `name` is one that a team may have."""

    id: str
    name: str
    managed_by: str | None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as it is, or is to be. `name` is one that a user may have."""

    id: str
    name: str
    team_id: str | None
    role: str
    disabled_at: datetime | None
    managed_by: str | None


def write_teams(connection: Connection, steps: Sequence[tuple[TeamRow | None, TeamRow]], change: Change) -> None:
    """Makes or changes teams: each is given as it is (None: it is new) and as it is to be."""
    made = to_ms(change.now)
    new = [asdict(now) | {"created_at_ms": made} for was, now in steps if was is None]
    write_rows(connection, teams, new, [(now.id, {"managed_by": now.managed_by}) for was, now in steps if was])
    record_changes(connection, change, [_line("team", was, now) for was, now in steps])


def write_users(connection: Connection, steps: Sequence[tuple[UserRow | None, UserRow]], change: Change) -> None:
    """The same for users."""
    new: list[dict[str, object]] = []
    changed: list[tuple[object, dict[str, object]]] = []
    for was, now in steps:
        values: dict[str, object] = {
            "team_id": now.team_id,
            "role": now.role,
            "disabled_at_ms": None if now.disabled_at is None else to_ms(now.disabled_at),
            "managed_by": now.managed_by,
        }
        if was is None:
            new.append({**values, "id": now.id, "name": now.name, "created_at_ms": to_ms(change.now)})
        else:
            changed.append((now.id, values))
    write_rows(connection, users, new, changed)
    record_changes(connection, change, [_line("user", was, now) for was, now in steps])


def _line(
    what: str, was: TeamRow | UserRow | None, now: TeamRow | UserRow
) -> tuple[str, str, Values | None, Values | None]:
    after = {name: value for name, value in _shown(now).items() if name != "id"}
    if was is None:
        return f"{what}.create", now.id, None, after
    return f"{what}.change", now.id, *differing(_shown(was), after)


def _shown(row: TeamRow | UserRow) -> dict[str, object]:
    """As the list of changes has it."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(row).items()}
