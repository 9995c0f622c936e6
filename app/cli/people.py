"""What several commands look up or make: users, teams, keys, and models and limits as people write them."""

import re
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from app.cli.terminal import WrongUse
from app.cli.words import iso, suggestion
from app.database.changes import Change
from app.errors import InvalidValue, NotFound
from app.images.catalog import Catalog, ModelSpec
from app.images.catalog import names_of as model_names
from app.keys.format import PREFIX, is_public_id
from app.keys.records import Key, Team, User, create_user, find_key, find_team, find_user, list_teams, list_users
from app.quotas.administration import copy_defaults, list_limits
from app.quotas.limits import Limit, Scope, Unit, WrittenLimit, format_limit, format_usd, parse_limit
from app.setting_values import UnknownModels
from app.settings import Settings


def existing_user(connection: Connection, name: str) -> User:
    """The user with this name or id. Raises NotFound, with a name that is like it."""
    user = find_user(connection, name)
    if user is None:
        close = suggestion(name, [known.name for known in list_users(connection)])
        raise NotFound(f"There is no user {name!r}.{close or ' `users list` shows those that are.'}")
    return user


def existing_team(connection: Connection, name: str) -> Team:
    """The team with this name or id. Raises NotFound, with a name that is like it."""
    team = find_team(connection, name)
    if team is None:
        close = suggestion(name, [known.name for known in list_teams(connection)])
        raise NotFound(f"There is no team {name!r}.{close or ' `teams list` shows those that are.'}")
    return team


def existing_key(connection: Connection, text: str) -> Key:
    """The key with this id; a whole key, or what logs show of one, will do as well, and is never repeated."""
    key_id = text.strip().removeprefix(PREFIX).split("-", 1)[0]
    key = find_key(connection, key_id)
    if key is None:
        # What was typed may be a secret, so it is shown only when it has the form of an id.
        shown = f" {key_id}" if is_public_id(key_id) else " with this id"
        raise NotFound(f"There is no key{shown}; `keys list` shows those that are.")
    return key


def make_user(connection: Connection, name: str, team: Team | None, change: Change) -> User:
    """A new user, with a copy of the default limits."""
    user = create_user(connection, name, team=team, change=change)
    copy_defaults(connection, user.id, change)
    return user


def model_id_of(text: str, catalog: Catalog, settings: Settings) -> str:
    """The full id of a model by any of its names. Raises WrongUse for a model nobody could ask for."""
    spec = catalog.find(text)
    if spec is not None:
        return spec.id
    passes_unknown = settings.unknown_models is UnknownModels.PASS and not catalog.resembles_listed(text)
    if passes_unknown and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,119}", text):
        return text
    raise WrongUse(_no_model(text, catalog, settings))


def existing_model(text: str, catalog: Catalog, settings: Settings) -> ModelSpec:
    """The model by any of its names. Raises NotFound, with a name that is like it."""
    spec = catalog.find(text)
    if spec is None:
        raise NotFound(_no_model(text, catalog, settings))
    return spec


def _no_model(text: str, catalog: Catalog, settings: Settings) -> str:
    if catalog.is_dead(text):
        return f"The model {text!r} is retired; name {settings.successor_model}, which takes its place."
    close = suggestion(text, [name for spec in catalog.models for name in model_names(spec)])
    return f"The catalog has no model {text!r}.{close or ' `catalog show` lists those it has.'}"


def read_limit(text: str, catalog: Catalog, settings: Settings) -> WrittenLimit:
    """A written limit, its model as the catalog's id. Raises WrongUse that says how limits are written."""
    try:
        written = parse_limit(text)
    except InvalidValue as error:
        raise WrongUse(error.message) from None
    return replace(written, model=model_id_of(written.model, catalog, settings)) if written.model else written


def read_limits(texts: list[str] | None, catalog: Catalog, settings: Settings) -> list[WrittenLimit]:
    """Several at once; two for the same unit, window and model contradict each other."""
    limits = [read_limit(text, catalog, settings) for text in texts or ()]
    if len({(limit.unit, limit.window, limit.model) for limit in limits}) < len(limits):
        raise WrongUse("Two of these limits are for the same unit, window and model; leave one.")
    return limits


def limits_by_owner(connection: Connection, scope: Scope) -> dict[str, list[str]]:
    """The written limits of everybody in one scope, by id."""
    found: dict[str, list[str]] = {}
    for limit in list_limits(connection, scope):
        found.setdefault(limit.scope_id, []).append(written(limit))
    return found


def limits_of(connection: Connection, scope: Scope, scope_id: str) -> list[str]:
    """The written limits of one user, team or key."""
    return [written(limit) for limit in list_limits(connection, scope, scope_id)]


def written(limit: Limit) -> str:
    """A limit for people: as it is typed, and whether it only counts."""
    return format_limit(limit) + (" (shadow)" if limit.shadow else "")


def amount_fields(unit: Unit, name: str, value: int) -> dict[str, Any]:
    """An amount for programs: a count as it is, money as text in dollars and whole in nano-dollars."""
    return {f"{name}_usd": format_usd(value), f"{name}_nanousd": value} if unit is Unit.USD else {name: value}


def key_fields(key: Key, limits: list[str]) -> dict[str, Any]:
    """A key for programs. Its text is in no database, so never here."""
    return {
        "id": key.id,
        "name": key.name,
        "user": key.user_name,
        "user_id": key.user_id,
        "models": None if key.models is None else list(key.models),
        "limits": limits,
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at),
        "disabled_at": iso(key.disabled_at),
    }
