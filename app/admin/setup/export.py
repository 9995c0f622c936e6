"""The use case of `export`: today's set-up as a gateway.yaml, which applied again changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import yaml

from app.admin.operator import Operator
from app.admin.setup.state import KeyState, Owner, SetupState, UserState
from app.admin.setup.today import Today, read_today
from app.quotas.rules.limits import Scope
from app.setup.managed import Managed

_HEAD = """\
# The set-up of a zenmux-gateway: see docs/configuration-as-code.md. Secrets of keys are in no file.
# What is not in the database is not here: where the keys of accounts are, their weights, servers and models; oidc;
# catalog. Write these in before a gateway starts with this file as its GATEWAY_BOOTSTRAP_FILE.
"""


def export_setup(operator: Operator) -> str:
    """Today's teams, users, keys and limits. In its comments: what a file cannot name, what has expired, and
    what is disabled and no file's.
    """
    with operator.reading() as connection:
        today = read_today(connection)
    written = _Written.of(today.state, operator.now)
    left_out = sorted(_left_out(today, written))
    comments = "".join(f"# Not here: {line}.\n" for line in left_out)
    return _HEAD + comments + yaml.safe_dump(_document(today.state, written), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True, slots=True)
class _Written:
    """The users and keys that are written. Of those that are disabled, only what a file has made or mentions: left out,
    it would be free of that file when the export is applied.
    """

    users: frozenset[str]
    keys: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, state: SetupState, now: datetime) -> Self:
        people = (Scope.USER, Scope.KEY)
        marked = {at.owner for at, limit in state.limits.items() if limit.managed_by and at.scope in people}
        marked |= {(name,) for name, user in state.users.items() if user.managed_by}
        marked |= {address for address, key in state.keys.items() if key.managed_by}
        kept = [
            address
            for address, key in state.keys.items()
            if (not key.disabled or address in marked) and (key.expires_at is None or key.expires_at > now)
        ]
        marked |= {(user,) for user, name in kept if (user, name) in marked}
        users = frozenset(name for name, user in state.users.items() if not user.disabled or (name,) in marked)
        return cls(users, frozenset(address for address in kept if address[0] in users))


def _document(state: SetupState, written: _Written) -> dict[str, Any]:
    limits = _limits(state)
    document: dict[str, Any] = {"version": 1}
    for section, scope in (("gateway", Scope.GATEWAY), ("defaults", Scope.DEFAULT)):
        if (scope, ()) in limits:
            document[section] = limits[scope, ()]
    sections: dict[str, dict[str, Any]] = {
        "teams": {name: limits.get((Scope.TEAM, (name,)), {}) for name in state.teams},
        "users": {
            name: _mentioned(user.managed_by, {"team": user.team, "role": user.role}, {"team": None, "role": "member"})
            | _disabled(user)
            | limits.get((Scope.USER, (name,)), {})
            for name, user in state.users.items()
            if name in written.users
        },
        "keys": dict(_keys(state, limits, written)),
        "accounts": {owner[0]: part for (scope, owner), part in limits.items() if scope is Scope.ACCOUNT},
    }
    return document | {name: section for name, section in sections.items() if section}


def _limits(state: SetupState) -> dict[tuple[Scope, Owner], dict[str, list[str]]]:
    """The limits of each owner. The copy that every new user gets of a default is left out: they will get it again."""
    found: dict[tuple[Scope, Owner], dict[str, list[str]]] = {}
    for at, limit in state.limits.items():
        default = state.limits.get(at._replace(scope=Scope.DEFAULT, owner=())) if at.scope is Scope.USER else None
        copied = default is not None and (default.amount, default.shadow) == (limit.amount, limit.shadow)
        if copied and limit.managed_by is None:
            continue
        of_owner = found.setdefault((at.scope, at.owner), {})
        of_owner.setdefault("shadow_limits" if limit.shadow else "limits", []).append(at.written(limit.amount))
    return found


def _keys(
    state: SetupState, limits: dict[tuple[Scope, Owner], dict[str, list[str]]], written: _Written
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, (address, key) in enumerate(sorted(state.keys.items(), key=lambda each: each[0])):
        user, name = address
        if address not in written.keys:
            continue
        models = None if key.models is None else list(key.models)
        fields = _mentioned(
            key.managed_by, {"models": models, "expires": _end(key.expires_at)}, {"models": None, "expires": None}
        )
        plain = "/" not in user
        names = {} if plain else {"user": user, "name": name}
        yield (
            (f"{user}/{name}" if plain else f"key {number}"),
            names | fields | _disabled(key) | limits.get((Scope.KEY, address), {}),
        )


def _mentioned(managed_by: str | None, fields: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """What the file sets already, and what is not as usual: so that applying it takes over no more than it must."""
    managed = Managed.read(managed_by)
    set_already = managed.fields if managed else frozenset()
    return {name: value for name, value in fields.items() if name in set_already or value != usual[name]}


def _disabled(each: UserState | KeyState) -> dict[str, bool]:
    return {"disabled": True} if each.disabled else {}


def _end(moment: datetime | None) -> object:
    """A date where it is the end of a day."""
    if moment is None or moment.time().replace(tzinfo=None) != datetime.min.time():
        return moment
    return (moment - timedelta(days=1)).date()


def _left_out(today: Today, written: _Written) -> Iterator[str]:
    for name in today.users.keys() - written.users:
        yield f"the user {name}, who is disabled"
    for key in today.unnamed:
        why = "which has no name" if key.name is None else "whose name another key of this user has"
        yield f"the key {key.id} of {key.user_name}, {why}"
    for address, key in today.keys.items():
        if address not in written.keys and key.user_name in written.users:
            why = "is disabled" if key.disabled_at is not None else "has expired"
            yield f"the key {key.id} of {key.user_name}, which {why}"
