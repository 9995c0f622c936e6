"""Today's set-up, read from the database: by names, with the rows behind them."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from app.admin.setup.state import KeyState, LimitAt, LimitState, Owner, SetupState, TeamState, UserState
from app.identity.keys.keys import Key, list_keys
from app.identity.keys.many import read_secrets
from app.identity.people.teams import Team, list_teams
from app.identity.people.users import User, list_users
from app.quotas.limits.many import LimitRow, read_limits
from app.quotas.rules.limits import Scope


@dataclass(slots=True)
class Today:
    """`state` has what a file can name. `unnamed` are the keys that it cannot: without a name, or with the same name as
    another one of their user; `ambiguous` are those names. `owners` finds an owner's id, `secrets` a secret's key.
    """

    state: SetupState = field(default_factory=SetupState)
    teams: dict[str, Team] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    keys: dict[tuple[str, str], Key] = field(default_factory=dict)
    limits: dict[LimitAt, LimitRow] = field(default_factory=dict)
    owners: dict[tuple[Scope, Owner], str] = field(default_factory=dict)
    unnamed: list[Key] = field(default_factory=list)
    ambiguous: frozenset[tuple[str, str]] = frozenset()
    secrets: dict[bytes, str] = field(default_factory=dict, repr=False)

    def owner_id(self, scope: Scope, owner: Owner) -> str | None:
        """The id of a limit's owner; None if it is not there yet."""
        return owner[0] if scope is Scope.ACCOUNT else self.owners.get((scope, owner))


def read_today(connection: Connection) -> Today:
    """Everything, in five queries."""
    today = Today(owners={(Scope.GATEWAY, ()): "", (Scope.DEFAULT, ()): ""})
    for team in list_teams(connection):
        today.teams[team.name] = team
        today.state.teams[team.name] = TeamState(team.managed_by)
        today.owners[Scope.TEAM, (team.name,)] = team.id
    for user in list_users(connection):
        today.users[user.name] = user
        disabled = user.disabled_at is not None
        today.state.users[user.name] = UserState(user.team_name, user.role.value, disabled, user.managed_by)
        today.owners[Scope.USER, (user.name,)] = user.id
    _read_keys(connection, today)
    names = {(scope, scope_id): owner for (scope, owner), scope_id in today.owners.items()}
    for row in read_limits(connection):
        limit = row.limit
        is_account = limit.scope is Scope.ACCOUNT  # whose name is its id
        owner = (limit.scope_id,) if is_account else names.get((limit.scope, limit.scope_id))
        if owner is not None:
            at = LimitAt(limit.scope, owner, limit.unit, limit.window, limit.model)
            today.limits[at] = row
            today.state.limits[at] = LimitState(limit.amount, limit.shadow, row.managed_by)
    return today


def _read_keys(connection: Connection, today: Today) -> None:
    today.secrets = read_secrets(connection)
    secrets: dict[str, list[bytes]] = {}
    for secret, key_id in today.secrets.items():
        secrets.setdefault(key_id, []).append(secret)
    named: dict[tuple[str, str], list[Key]] = {}
    for key in list_keys(connection):
        if key.name is None:
            today.unnamed.append(key)
        else:
            named.setdefault((key.user_name, key.name), []).append(key)
    ambiguous = set()
    for address, same in named.items():
        chosen = _the_one(same)
        today.unnamed += [key for key in same if key is not chosen]
        if chosen is None:
            ambiguous.add(address)
            continue
        today.keys[address] = chosen
        disabled = chosen.disabled_at is not None
        today.state.keys[address] = KeyState(
            chosen.models, chosen.expires_at, disabled, chosen.managed_by, frozenset(secrets.get(chosen.id, ()))
        )
        today.owners[Scope.KEY, address] = chosen.id
    today.ambiguous = frozenset(ambiguous)


def _the_one(keys: list[Key]) -> Key | None:
    """Of several keys with one name: the one that a file manages; else the only one that is not disabled; else, where
    all are, the newest. None if it cannot be told.
    """
    for some in ([key for key in keys if key.managed_by], [key for key in keys if key.disabled_at is None]):
        if len(some) == 1:
            return some[0]
        if some:
            return None
    return keys[-1]


def disabled_since(was: User | Key | None, *, disabled: bool, now: datetime) -> datetime | None:
    """When it was, or is now, disabled; None if it is not to be."""
    return ((was.disabled_at if was else None) or now) if disabled else None
