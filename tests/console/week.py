"""A gateway with invented people and a week of plausible use: for screenshots, and for pages with something on them.

Everything goes through the ledger's and the use cases' own doors, so counters, totals and limits are as in earnest.
"""

import asyncio
import atexit
import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from app.admin.keys import WantedKey, create_key
from app.admin.limits import Target, set_limits
from app.admin.operator import Operator
from app.admin.teams import create_team
from app.admin.users import create_user, list_users
from app.database.engine import create_engine
from app.images.catalog.catalog import load_catalog
from app.images.cost.pricing import price
from app.images.cost.tokens import output_tokens
from app.images.cost.usage import Usage
from app.main import utc_now
from app.quotas.rules.limits import Scope, parse_limit
from app.quotas.rules.reservation import Amounts, Hold, Settlement, State, UsageSource
from tests.memory import temporary_root
from tests.quotas.making import StillClock, running_ledger
from tests.stores import copy_sqlite_store

TEAMS = {
    "Design": ("Mara Lindqvist", "Jonas Weber", "Aiko Tanaka"),
    "Marketing": ("Priya Nair", "Tom Okafor"),
    "Games": ("Lucía Ferrer", "Sami Haddad", "نور الهاشمي"),
}
ALONE = ("newsletter-bot",)
DAYS = 8
_MODELS = ("openai/gpt-image-2", "openai/gpt-image-2", "openai/gpt-image-2", "openai/gpt-image-1.5")
_SIZES = ("1024x1024", "1024x1024", "1536x1024", "1024x1536")
_QUALITIES = ("low", "medium", "medium", "high")


@dataclass(frozen=True)
class Person:
    """Whose requests are made, and with which key."""

    user_id: str
    team_id: str | None
    key_id: str
    weight: float


def fill_week(engine: Engine, now: datetime, seed: int = 7, per_day: int = 90) -> None:
    """Fills an empty, migrated store with people, limits and the requests of the days before `now`."""
    people = make_people(engine, now - timedelta(days=40))
    asyncio.run(_use(engine, people, now, random.Random(seed), per_day))


@cache
def _filled_file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="gateway-week-", dir=temporary_root())) / "gateway.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    copy_sqlite_store(path)
    _fill_store(f"sqlite:///{path}")
    return path


def _fill_store(store_url: str) -> None:
    engine = create_engine(store_url)
    fill_week(engine, utc_now())
    engine.dispose()


def lay_week(store_url: str) -> None:
    """Fills an empty store that nobody has open. On SQLite it is done once in a process, and copied."""
    if store_url.startswith("sqlite:///"):
        shutil.copyfile(_filled_file(), store_url.removeprefix("sqlite:///"))
    else:
        _fill_store(store_url)


def make_people(engine: Engine, since: datetime) -> list[Person]:
    """The teams, their members with keys, and limits of every scope."""
    operator = Operator(engine, lambda: since, "cli:ops", os.urandom)
    set_limits(operator, Target(Scope.DEFAULT), [parse_limit("images:200/day")])
    for team, members in TEAMS.items():
        create_team(operator, team)
        for member in members:
            create_user(operator, member, team=team)
    for name in ALONE:
        create_user(operator, name)
    chance = random.Random(3)
    people = []
    for view in list_users(operator):
        user = view.user
        key = create_key(operator, WantedKey(user.name, chance.choice(("laptop", "figma", "notebook"))))
        weight = chance.uniform(0.3, 2.0)
        people.append(Person(user.id, user.team_id, key.key.key.id, weight))
        set_limits(operator, Target(Scope.USER, user.id), [parse_limit("usd:5/day")])
    for team, written in (("Design", "usd:9/day"), ("Marketing", "usd:60/month"), ("Games", "usd:30/week")):
        set_limits(operator, Target(Scope.TEAM, team), [parse_limit(written), parse_limit("concurrent:6")])
    set_limits(operator, Target(Scope.GATEWAY), [parse_limit("usd:400/month"), parse_limit("concurrent:40")])
    return people


async def _use(engine: Engine, people: list[Person], now: datetime, chance: random.Random, per_day: int) -> None:
    clock = StillClock(now - timedelta(days=DAYS))
    numbers = itertools.count(1)
    async with running_ledger(engine, clock, instance="week") as ledger:
        for moment in _moments(now, chance, per_day):
            clock.now = moment
            person = chance.choices(people, [each.weight for each in people])[0]
            hold, settlement = _request(next(numbers), person, moment, chance)
            try:
                await ledger.reserve(hold)
            except Exception as error:
                if type(error).__name__ not in ("QuotaExceeded", "RateLimited"):
                    raise
                continue
            if moment > now - timedelta(seconds=50):
                continue  # it still runs
            clock.now = moment + timedelta(seconds=min(40, settlement.duration_ms / 1000))
            await ledger.resolve(hold.id, settlement._replace(resolved_at=clock.now))


def _moments(now: datetime, chance: random.Random, per_day: int) -> Iterator[datetime]:
    """Working hours have more of them, weekends fewer; a few are in the last minute."""
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    for day in range(DAYS):
        date = first + timedelta(days=day)
        count = int(per_day * chance.uniform(0.75, 1.25) * (0.35 if date.weekday() >= 5 else 1.0))
        for _ in range(count):
            hour = min(23.9, max(0.1, chance.gauss(13, 3.2)))
            found.append(date + timedelta(hours=hour))
    found += [now - timedelta(seconds=chance.uniform(5, 45)) for _ in range(3)]
    return iter(sorted(each for each in found if each <= now))


def _request(number: int, person: Person, at: datetime, chance: random.Random) -> tuple[Hold, Settlement]:
    spec = load_catalog().find(chance.choice(_MODELS))
    assert spec is not None
    size, quality = chance.choice(_SIZES), chance.choice(_QUALITIES)
    n = chance.choice((1, 1, 1, 2, 4))
    tokens = output_tokens(spec, size, quality) * n
    usage = Usage(chance.randrange(20, 90), 0, 0, tokens)
    charged = price(usage, n, spec) or 0
    hold = Hold(
        id=f"req_{number:032x}",
        key_id=person.key_id,
        user_id=person.user_id,
        team_id=person.team_id,
        operation=chance.choice(("generation", "generation", "generation", "edit")),
        model=spec.id,
        size=size,
        quality=quality,
        streamed=chance.random() < 0.4,
        amounts=Amounts(1, n, tokens + 200, charged + 2_000_000),
        reserved_at=at,
        expires_at=at + timedelta(minutes=20),
    )
    settlement = Settlement(
        state=State.SETTLED,
        outcome="completed",
        usage_source=UsageSource.REPORTED,
        charged=Amounts(1, n, usage.total_tokens, charged),
        usage=usage,
        priced=True,
        client_left=False,
        upstream_status=200,
        upstream_request_id=f"gen_{number}",
        first_byte_ms=int(chance.uniform(900, 6000)),
        duration_ms=int(chance.uniform(6000, 38_000)),
        resolved_at=at,
    )
    if chance.random() < 0.02:
        settlement = settlement._replace(
            outcome="upstream_refused",
            usage_source=UsageSource.NONE,
            charged=Amounts(requests=1),
            usage=None,
            upstream_status=400,
        )
    return hold, settlement
