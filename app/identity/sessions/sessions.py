"""Sessions: opened at a login, found by the hash of their token, listed, ended. The caller opens the transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update

from app.database.changes import Change, record_change
from app.database.clock import from_ms, to_ms
from app.database.schema.identity_tables import users
from app.database.schema.session_tables import sessions

SEEN_SECONDS = 60
"""How exactly the last use of a session is kept: a write for every page would be one too many."""

_AGENT_LENGTH_MAX = 120
_SESSIONS_MAX = 50  # of one user; a new one ends the oldest


@dataclass(frozen=True, slots=True)
class SessionBounds:
    """When a session ends: unused for `idle`, and in any case `lifetime` after its login."""

    idle: timedelta
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be opened. `user_id` None: the admin key's. `role` None: whatever role the user has."""

    user_id: str | None
    role: str | None
    method: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """Somebody who is signed in. `role` is the session's own, or else the user's."""

    id: str
    user_id: str | None
    user_name: str | None
    team_id: str | None
    role: str
    method: str
    user_agent: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime


def open_session(
    connection: Connection, new: NewSession, sha256: bytes, bounds: SessionBounds, *, change: Change
) -> str:
    """Opens a session whose token has this hash, and returns its id. Ends the sessions that are over by now."""
    end_stale(connection, bounds, change.now)
    _make_room(connection, new.user_id)
    session_id, now_ms = f"session_{change.new_id()}", to_ms(change.now)
    connection.execute(
        insert(sessions).values(
            id=session_id,
            token_sha256=sha256,
            user_id=new.user_id,
            role=new.role,
            method=new.method,
            user_agent=_shown_agent(new.user_agent),
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            ends_at_ms=to_ms(change.now + bounds.lifetime),
        )
    )
    record_change(connection, change, "session.open", new.user_id or "admin key", None, {"method": new.method})
    return session_id


def find_session(connection: Connection, sha256: bytes, bounds: SessionBounds, now: datetime) -> ConsoleSession | None:
    """The session with this token that is open at `now`; None if there is none, or its user is disabled."""
    row = connection.execute(
        _SELECT.where(sessions.c.token_sha256 == sha256, ~_is_stale(bounds, now), users.c.disabled_at_ms.is_(None))
    ).first()
    return None if row is None else _session_of(row)


def touch_session(connection: Connection, session: ConsoleSession, now: datetime) -> None:
    """Notes that the session was used at `now`."""
    connection.execute(update(sessions).where(sessions.c.id == session.id).values(seen_at_ms=to_ms(now)))


def list_sessions(
    connection: Connection, user_id: str | None, bounds: SessionBounds, now: datetime
) -> list[ConsoleSession]:
    """The open sessions of one user, or those of the admin key, the last used first."""
    whose = sessions.c.user_id.is_(None) if user_id is None else sessions.c.user_id == user_id
    found = connection.execute(_SELECT.where(whose, ~_is_stale(bounds, now)).order_by(sessions.c.seen_at_ms.desc()))
    return [_session_of(row) for row in found]


def end_session(connection: Connection, session_id: str, user_id: str | None, *, change: Change) -> bool:
    """Ends one session of this user (None: of the admin key). Whether there was one."""
    whose = sessions.c.user_id.is_(None) if user_id is None else sessions.c.user_id == user_id
    found = connection.execute(
        delete(sessions).where(sessions.c.id == session_id, whose).returning(sessions.c.id)
    ).all()
    if found:
        record_change(connection, change, "session.end", user_id or "admin key", {"session": session_id}, None)
    return bool(found)


def end_stale(connection: Connection, bounds: SessionBounds, now: datetime) -> None:
    """Deletes the sessions that are over at `now`."""
    connection.execute(delete(sessions).where(_is_stale(bounds, now)))


def _make_room(connection: Connection, user_id: str | None) -> None:
    whose = sessions.c.user_id.is_(None) if user_id is None else sessions.c.user_id == user_id
    order = (sessions.c.seen_at_ms.desc(), sessions.c.id)
    kept: Iterable[str] = connection.execute(
        select(sessions.c.id).where(whose).order_by(*order).limit(_SESSIONS_MAX - 1)
    ).scalars()
    connection.execute(delete(sessions).where(whose, sessions.c.id.not_in(list(kept))))


def _is_stale(bounds: SessionBounds, now: datetime) -> ColumnElement[bool]:
    return or_(sessions.c.ends_at_ms <= to_ms(now), sessions.c.seen_at_ms <= to_ms(now - bounds.idle))


def _shown_agent(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:_AGENT_LENGTH_MAX])


def _session_of(row: Row[Any]) -> ConsoleSession:
    return ConsoleSession(
        id=row.id,
        user_id=row.user_id,
        user_name=row.user_name,
        team_id=row.team_id,
        role=row.role or row.user_role,
        method=row.method,
        user_agent=row.user_agent,
        created_at=from_ms(row.created_at_ms),
        seen_at=from_ms(row.seen_at_ms),
        ends_at=from_ms(row.ends_at_ms),
    )


_SELECT = select(
    sessions,
    users.c.name.label("user_name"),
    users.c.role.label("user_role"),
    users.c.team_id,
).outerjoin_from(sessions, users)
