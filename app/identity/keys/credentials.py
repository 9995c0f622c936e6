"""What a presented key stands for: one read of the database, and (pure) whether it is valid at a given moment."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.database.clock import from_ms
from app.database.schema.identity_tables import key_secrets, keys, teams, users
from app.identity.keys.format import PREFIX, PresentedKey
from app.identity.people.roles import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `models` None means every model."""

    key_id: str
    key_name: str | None
    user_id: str
    user_name: str
    team_id: str | None
    team_name: str | None
    models: frozenset[str] | None
    role: Role | None = None  # what the key may administer; None: what a member may

    def may_use(self, model_id: str) -> bool:
        """Whether the key may use the model with this full catalog id."""
        return self.models is None or model_id in self.models


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret from the database, with everything that can make it invalid."""

    caller: Caller
    key_disabled: bool
    user_disabled: bool
    key_expires_at: datetime | None
    secret_expires_at: datetime | None

    def refusal(self, now: datetime) -> str | None:
        """Why it is not valid at `now`, in words for its holder; None if it is."""
        key_id = self.caller.key_id
        if self.key_disabled:
            return f"The API key {shown_key(key_id)} is disabled."
        if self.user_disabled:
            return f"The user of the API key {shown_key(key_id)} is disabled."
        if self.key_expires_at is not None and self.key_expires_at <= now:
            return f"The API key {shown_key(key_id)} expired at {self.key_expires_at:%Y-%m-%d %H:%M:%S} UTC."
        if self.secret_expires_at is not None and self.secret_expires_at <= now:
            return f"The API key {shown_key(key_id)} was replaced by a newer one; use that."
        return None


def shown_key(key_id: str) -> str:
    """How messages name a key: by its public part only."""
    return f"{PREFIX}{key_id}-…"


def read_credential(connection: Connection, presented: PresentedKey) -> Credential | None:
    """The credential of the presented key, or None if no row has both its secret and its public id, if it shows one."""
    # Found by the hash of the secret. No secrets are compared, so no timing can leak one.
    wanted = _SELECT.where(key_secrets.c.secret_sha256 == presented.secret_sha256)
    if presented.id is not None:
        wanted = wanted.where(keys.c.id == presented.id)
    row = connection.execute(wanted).first()
    return None if row is None else _credential(row)


def read_credential_of(connection: Connection, key_id: str) -> Credential | None:
    """The credential of the key with this public id, by the secret that no rotation has replaced; None if there is no
    such key. Only for those whom something else has identified: the id alone proves nothing.
    """
    wanted = _SELECT.where(keys.c.id == key_id, key_secrets.c.expires_at_ms.is_(None))
    row = connection.execute(wanted).first()
    return None if row is None else _credential(row)


def _credential(row: Any) -> Credential:  # noqa: ANN401 - a row of _SELECT
    caller = Caller(
        key_id=row.key_id,
        key_name=row.key_name,
        user_id=row.user_id,
        user_name=row.user_name,
        team_id=row.team_id,
        team_name=row.team_name,
        models=None if row.models is None else frozenset(json.loads(row.models)),
        role=None if row.role is None else Role(row.role),
    )
    return Credential(
        caller=caller,
        key_disabled=row.key_disabled_at_ms is not None,
        user_disabled=row.user_disabled_at_ms is not None,
        key_expires_at=None if row.key_expires_at_ms is None else from_ms(row.key_expires_at_ms),
        secret_expires_at=None if row.secret_expires_at_ms is None else from_ms(row.secret_expires_at_ms),
    )


_SELECT = (
    select(
        keys.c.id.label("key_id"),
        keys.c.name.label("key_name"),
        keys.c.models,
        keys.c.role,
        keys.c.disabled_at_ms.label("key_disabled_at_ms"),
        keys.c.expires_at_ms.label("key_expires_at_ms"),
        key_secrets.c.expires_at_ms.label("secret_expires_at_ms"),
        users.c.id.label("user_id"),
        users.c.name.label("user_name"),
        users.c.disabled_at_ms.label("user_disabled_at_ms"),
        users.c.team_id,
        teams.c.name.label("team_name"),
    )
    .join_from(key_secrets, keys)
    .join(users, keys.c.user_id == users.c.id)
    .outerjoin(teams, users.c.team_id == teams.c.id)
)
