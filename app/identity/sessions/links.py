"""One-time links that open a session: made by an operator, used once. The caller opens the transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from app.database.changes import Change, record_change
from app.database.clock import to_ms
from app.database.schema.identity_tables import users
from app.database.schema.session_tables import login_links

LINK_MINUTES = 10

_ROLES = frozenset({"admin", "auditor", "lead", "member"})


@dataclass(frozen=True, slots=True)
class LoginLink:
    """Whose session a link opens. `role` None: whatever role the user has. `is_direct`: fetching it is enough."""

    user_id: str
    user_name: str
    role: str | None
    is_direct: bool


def make_link(connection: Connection, link: LoginLink, sha256: bytes, *, change: Change) -> None:
    """Keeps a link whose token has this hash for LINK_MINUTES; drops those that are over."""
    if link.role is not None and link.role not in _ROLES:
        raise ValueError(f"there is no role {link.role}")
    now_ms = to_ms(change.now)
    connection.execute(delete(login_links).where(login_links.c.expires_at_ms <= now_ms))
    connection.execute(
        insert(login_links).values(
            token_sha256=sha256,
            user_id=link.user_id,
            role=link.role,
            is_direct=link.is_direct,
            created_at_ms=now_ms,
            expires_at_ms=to_ms(change.now + timedelta(minutes=LINK_MINUTES)),
        )
    )
    record_change(connection, change, "login_link.create", link.user_id, None, {"role": link.role})


def find_link(connection: Connection, sha256: bytes, now: datetime) -> LoginLink | None:
    """The link with this token, if it works at `now`. It goes on working."""
    row = connection.execute(
        select(login_links, users.c.name)
        .join_from(login_links, users)
        .where(
            login_links.c.token_sha256 == sha256,
            login_links.c.expires_at_ms > to_ms(now),
            users.c.disabled_at_ms.is_(None),
        )
    ).first()
    return None if row is None else LoginLink(row.user_id, row.name, row.role, row.is_direct)


def use_link(connection: Connection, sha256: bytes, now: datetime) -> LoginLink | None:
    """The same, and it never works again: of several who use it at the same time, one gets it."""
    link = find_link(connection, sha256, now)
    used = connection.execute(
        delete(login_links).where(login_links.c.token_sha256 == sha256).returning(login_links.c.user_id)
    ).first()
    return link if used is not None else None
