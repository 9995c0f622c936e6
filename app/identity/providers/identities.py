"""Which user a person is whom a provider knows, by issuer and subject. The caller opens the transaction."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from app.database.changes import Change, record_change
from app.database.clock import to_ms
from app.database.schema.session_tables import identities


@dataclass(frozen=True, slots=True)
class Identity:
    """A person of a provider who is a user. `is_followed`: the provider's groups decide the user's team and role."""

    issuer: str
    subject: str
    user_id: str
    is_followed: bool


def find_identity(connection: Connection, issuer: str, subject: str) -> Identity | None:
    """The user this person is, or None."""
    row = connection.execute(
        select(identities.c.issuer, identities.c.subject, identities.c.user_id, identities.c.is_followed).where(
            identities.c.issuer == issuer, identities.c.subject == subject
        )
    ).first()
    return None if row is None else Identity(*row)


def add_identity(connection: Connection, identity: Identity, *, change: Change) -> None:
    """Makes a person one with a user. There must not be such a person yet."""
    connection.execute(
        insert(identities).values(
            issuer=identity.issuer,
            subject=identity.subject,
            user_id=identity.user_id,
            is_followed=identity.is_followed,
            created_at_ms=to_ms(change.now),
        )
    )
    after = {"issuer": identity.issuer, "subject": identity.subject}
    record_change(connection, change, "identity.add", identity.user_id, None, after)


def drop_identities(connection: Connection, user_id: str, *, change: Change) -> int:
    """Makes all persons of this user strangers again. Returns how many there were."""
    is_theirs = identities.c.user_id == user_id
    found = connection.execute(delete(identities).where(is_theirs).returning(identities.c.issuer, identities.c.subject))
    dropped = found.all()
    for issuer, subject in dropped:
        record_change(connection, change, "identity.remove", user_id, {"issuer": issuer, "subject": subject}, None)
    return len(dropped)
