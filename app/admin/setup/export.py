"""The use case of `export`: today's set-up as a gateway.yaml, which applied again changes nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import yaml

from app.admin.operator import Operator
from app.admin.setup.state import Owner, SetupState
from app.admin.setup.today import Today, read_today
from app.quotas.rules.limits import Scope
from app.setup.managed import Managed

_HEAD = """\
# The set-up of a zenmux-gateway: see docs/configuration-as-code.md. Secrets of keys are in no file.
# Accounts, sign-in groups and catalog entries are not in the database, so they are not here.
"""


def export_setup(operator: Operator) -> str:
    """Today's teams, users, keys and limits. What a file cannot name, or is disabled or expired, is in its comments."""
    with operator.reading() as connection:
        today = read_today(connection)
    left_out = sorted(_left_out(today, operator.now))
    comments = "".join(f"# Not here: {line}.\n" for line in left_out)
    return _HEAD + comments + yaml.safe_dump(_document(today.state, operator.now), sort_keys=False, allow_unicode=True)


def _document(state: SetupState, now: datetime) -> dict[str, Any]:
    limits = _limits(state)
    document: dict[str, Any] = {"version": 1}
    for section, scope in (("gateway", Scope.GATEWAY), ("defaults", Scope.DEFAULT)):
        if (scope, ()) in limits:
            document[section] = limits[scope, ()]
    sections: dict[str, dict[str, Any]] = {
        "teams": {name: limits.get((Scope.TEAM, (name,)), {}) for name in state.teams},
        "users": {
            name: _mentioned(user.managed_by, {"team": user.team, "role": user.role}, {"team": None, "role": "member"})
            | limits.get((Scope.USER, (name,)), {})
            for name, user in state.users.items()
            if not user.disabled
        },
        "keys": dict(_keys(state, limits, now)),
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
    state: SetupState, limits: dict[tuple[Scope, Owner], dict[str, list[str]]], now: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, (address, key) in enumerate(sorted(state.keys.items(), key=lambda each: each[0])):
        user, name = address
        if key.disabled or state.users[user].disabled or (key.expires_at is not None and key.expires_at <= now):
            continue
        models = None if key.models is None else list(key.models)
        fields = _mentioned(
            key.managed_by, {"models": models, "expires": _written(key.expires_at)}, {"models": None, "expires": None}
        )
        plain = "/" not in user
        names = {} if plain else {"user": user, "name": name}
        yield (f"{user}/{name}" if plain else f"key {number}"), names | fields | limits.get((Scope.KEY, address), {})


def _mentioned(managed_by: str | None, fields: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """What the file sets already, and what is not as usual: so that applying it takes over no more than it must."""
    managed = Managed.read(managed_by)
    set_already = managed.fields if managed else frozenset()
    return {name: value for name, value in fields.items() if name in set_already or value != usual[name]}


def _written(moment: datetime | None) -> object:
    """A date where it is the end of a day."""
    if moment is None or moment.time().replace(tzinfo=None) != datetime.min.time():
        return moment
    return (moment - timedelta(days=1)).date()


def _left_out(today: Today, now: datetime) -> Iterator[str]:
    for name, user in today.users.items():
        if user.disabled_at is not None:
            yield f"the user {name}, who is disabled"
    for name in {at.owner[0] for at in today.limits if at.scope is Scope.ACCOUNT}:
        yield f"the limits of the account {name}"
    for key in today.unnamed:
        why = "which has no name" if key.name is None else "whose name another key of this user has"
        yield f"the key {key.id} of {key.user_name}, {why}"
    for key in today.keys.values():
        if key.disabled_at is not None:
            yield f"the key {key.id} of {key.user_name}, which is disabled"
        elif key.expires_at is not None and key.expires_at <= now:
            yield f"the key {key.id} of {key.user_name}, which has expired"
