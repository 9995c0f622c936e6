"""Use cases of signing in to the console: links that open a session once, sessions, their list and their end."""

from dataclasses import dataclass, replace

from pydantic import SecretStr
from sqlalchemy import Connection

from app.admin.lookup.owners import existing_user
from app.admin.operator import Operator
from app.errors import Conflict, InvalidValue, NotFound, NotPermitted
from app.identity.people.names import NAME_LENGTH_MAX
from app.identity.people.roles import Role
from app.identity.people.users import find_user
from app.identity.sessions import links, sessions
from app.identity.sessions.links import LoginLink
from app.identity.sessions.sessions import SEEN_SECONDS, ConsoleSession, NewSession, SessionBounds
from app.identity.sessions.tokens import TOKEN_BYTES, new_token, token_sha256

ROLES = ("admin", "auditor", "lead", "member")


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session just opened. `token` is what the browser keeps; it is shown to nobody else."""

    id: str
    token: SecretStr


def create_link(operator: Operator, user: str, role: str | None = None, *, is_direct: bool = False) -> SecretStr:
    """The token of a link that signs this user in once, within ten minutes.

    `role` holds for that session instead of the user's own. Raises NotFound for the user, Conflict for a disabled one,
    InvalidValue for the role.
    """
    if role is not None and role not in ROLES:
        raise InvalidValue(f"There is no role {role!r}; there are {', '.join(ROLES)}.")
    change, token = operator.change(), new_token(operator.random_bytes(TOKEN_BYTES))
    with operator.writing() as connection:
        found = existing_user(connection, user)
        if found.disabled_at is not None:
            raise Conflict(f"The user {found.name} is disabled, so no link can sign them in. Enable them first.")
        links.make_link(connection, LoginLink(found.id, found.name, role, is_direct), token.sha256, change=change)
    return token.text


def show_link(operator: Operator, text: str) -> LoginLink | None:
    """Whose link this is, while it works. It goes on working."""
    sha256 = token_sha256(text)
    if sha256 is None:
        return None
    with operator.reading() as connection:
        return links.find_link(connection, sha256, operator.now)


def sign_in_by_link(operator: Operator, text: str, user_agent: str, bounds: SessionBounds) -> OpenedSession | None:
    """Opens a session with a link, which never works again. None where the link does not work."""
    sha256 = token_sha256(text)
    if sha256 is None:
        return None
    with operator.writing() as connection:
        link = links.use_link(connection, sha256, operator.now)
        if link is None:
            return None
        actor = f"user:{link.user_name}"
        return open_session_of(
            connection, operator, actor, NewSession(link.user_id, link.role, "link", user_agent), bounds
        )


def sign_in_as_admin_key(operator: Operator, user_agent: str, bounds: SessionBounds) -> OpenedSession:
    """Opens the session of whoever has the admin key. The caller has compared the key."""
    with operator.writing() as connection:
        return open_session_of(
            connection, operator, operator.actor, NewSession(None, "admin", "admin-key", user_agent), bounds
        )


def sign_in_by_proxy(operator: Operator, name: str, user_agent: str, bounds: SessionBounds) -> OpenedSession:
    """Opens a session of the user whom a trusted proxy names. A header alone makes nobody an admin: an admin is an
    auditor in that session. Raises NotPermitted with what to do.
    """
    with operator.writing() as connection:
        found = find_user(connection, name)
        if found is None or found.name != name or found.disabled_at is not None:
            why = "has disabled that user" if found is not None and found.name == name else "does not know that user"
            raise NotPermitted(
                f"The proxy in front signed in {name[:NAME_LENGTH_MAX]!r}, and this gateway {why}. Whoever runs it can "
                "make or enable the user."
            )
        role = Role.AUDITOR.value if found.role is Role.ADMIN else None
        new = NewSession(found.id, role, "proxy", user_agent)
        return open_session_of(connection, operator, f"user:{found.name}", new, bounds)


def find_session(operator: Operator, text: str, bounds: SessionBounds) -> ConsoleSession | None:
    """The open session with this token, or None. Notes that it was used."""
    sha256 = token_sha256(text)
    if sha256 is None:
        return None
    now = operator.now
    with operator.reading() as connection:
        found = sessions.find_session(connection, sha256, bounds, now)
    if found is not None and (now - found.seen_at).total_seconds() >= SEEN_SECONDS:
        with operator.writing() as connection:
            sessions.touch_session(connection, found, now)
    return found


def list_sessions(operator: Operator, user_id: str | None, bounds: SessionBounds) -> list[ConsoleSession]:
    """The open sessions of one user, or of the admin key, the last used first."""
    with operator.reading() as connection:
        return sessions.list_sessions(connection, user_id, bounds, operator.now)


def sign_out(operator: Operator, session_id: str, user_id: str | None) -> None:
    """Ends one session of this user. Raises NotFound."""
    change = operator.change()
    with operator.writing() as connection:
        if not sessions.end_session(connection, session_id, user_id, change=change):
            raise NotFound("There is no such session; it may have ended.")


def open_session_of(
    connection: Connection, operator: Operator, actor: str, new: NewSession, bounds: SessionBounds
) -> OpenedSession:
    """The part of a use case that opens a session. `actor`: who signs in, for the list of changes."""
    token, change = new_token(operator.random_bytes(TOKEN_BYTES)), replace(operator.change(), actor=actor)
    session_id = sessions.open_session(connection, new, token.sha256, bounds, change=change)
    return OpenedSession(session_id, token.text)
