"""Who asks in the chaos test and what they may spend: limits on everything, so that a good part is refused.

An administrator changes limits meanwhile, so that it can still be told afterwards whether one was passed: amounts
only grow, and limits that come and go have room for all.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, Engine

from app.database.changes import Change
from app.database.engine import reading, writing
from app.errors import StoreUnavailable
from app.identity.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint
from app.identity.keys.keys import NewKey, create_key
from app.identity.people.teams import create_team
from app.identity.people.users import create_user
from app.main import utc_now
from app.quotas.limits.manage import list_limits, remove_limit, set_limit
from app.quotas.rules.limits import Limit, Scope, parse_limit
from tests.chaos.provider import MODELS
from tests.chaos.world import still_time

_USERS, _KEYS_A_USER = 24, 2
_CHANGE_SECONDS = 1.5
_OTHER = MODELS[1]

# For 200 clients of whom each asks ten times a minute at most; an image costs half a cent and 200 tokens.
_GATEWAY = ("requests:1500/minute", f"images:600/minute@{_OTHER}", "usd:500/month")
_TEAMS = ("images:120/minute", "usd:1/hour", "tokens:60000/day", f"requests:100/hour@{_OTHER}")
_USERS_LIMITS = (
    "images:25/minute",
    "concurrent:2",
    "usd:0.50/month",
    f"requests:10/minute@{_OTHER}",
    "requests:900/day",
)
_KEYS_LIMITS = ("requests:10/minute", "concurrent:1", "images:60/total", "tokens:10000/hour", "requests:900/week")
_ROOMY = parse_limit("requests:1000000/week")


def make_people(engine: Engine) -> list[str]:
    """Teams, users, keys and their limits; returns the keys, last one that only the gateway's limits apply to."""
    keys: list[str] = []
    change = _change()
    with writing(engine) as connection:
        teams = [create_team(connection, f"team-{number}", change=change) for number in range(len(_TEAMS))]
        wanted = [parse_limit(written).on(Scope.GATEWAY) for written in _GATEWAY]
        wanted.append(parse_limit("images:100/minute").on(Scope.GATEWAY, shadow=True))
        wanted += [parse_limit(written).on(Scope.TEAM, team.id) for written, team in zip(_TEAMS, teams, strict=True)]
        for number in range(_USERS):
            user = create_user(connection, f"user-{number}", team=[*teams, None][number % 5], change=change)
            wanted.append(parse_limit(_USERS_LIMITS[number // 5]).on(Scope.USER, user.id))
            for _ in range(_KEYS_A_USER):
                key_id, key = _make_key(connection, user.id, change)
                wanted.append(parse_limit(_KEYS_LIMITS[len(keys) % len(_KEYS_LIMITS)]).on(Scope.KEY, key_id))
                keys.append(key)
        keys.append(_make_key(connection, create_user(connection, "roll-call", change=change).id, change)[1])
        for limit in wanted:
            set_limit(connection, limit, change=change)
        return keys


def _make_key(connection: Connection, user_id: str, change: Change) -> tuple[str, str]:
    """Its public id and its text."""
    minted = mint(os.urandom(PUBLIC_ID_BYTES), os.urandom(SECRET_BYTES))
    create_key(connection, NewKey(user_id, None, None, None), minted, change=change)
    return minted.id, minted.text.get_secret_value()


async def administrate(engine: Engine, chance: random.Random, until: float) -> int:
    """Changes limits now and then until that moment of the monotonic clock; returns how many changes were made."""
    changes = 0
    while await still_time(until, chance.expovariate(1 / _CHANGE_SECONDS)):
        try:
            await asyncio.to_thread(_change_one, engine, chance.random(), chance.random())
            changes += 1
        except StoreUnavailable:
            pass  # it is restarted now and then
    return changes


def _change_one(engine: Engine, what: float, which: float) -> None:
    with reading(engine) as connection:
        limits = list_limits(connection)
    limit = limits[int(which * len(limits))]
    with writing(engine) as connection:
        for changed, stays in _changes(limit, what):
            (set_limit if stays else remove_limit)(connection, changed, change=_change())


def _changes(limit: Limit, what: float) -> Iterator[tuple[Limit, bool]]:
    """What becomes of one limit, and whether it stays: it is raised, or a roomy one is made or removed beside it."""
    roomy = _ROOMY.on(limit.scope, limit.scope_id)
    if replace(limit, amount=0) == replace(roomy, amount=0):
        yield roomy, what < 0.5
    elif what < 0.6:
        yield replace(limit, amount=limit.amount + limit.amount // 10 + 1), True
    else:
        yield roomy, True


def _change() -> Change:
    return Change("chaos", utc_now(), lambda: os.urandom(8).hex())
