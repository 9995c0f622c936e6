"""What several commands look up: users, teams, and limits as people write them."""

from dataclasses import replace

from sqlalchemy import Connection

from app.errors import CommandError
from app.images.catalog import Catalog
from app.keys.records import Team, User, find_team, find_user
from app.quotas.limits import WrittenLimit, parse_limit


def existing_user(connection: Connection, name: str) -> User:
    """Raises CommandError when there is no such user."""
    user = find_user(connection, name)
    if user is None:
        raise CommandError(f"There is no user {name!r}; `users list` shows those that are.")
    return user


def existing_team(connection: Connection, name: str) -> Team:
    """Raises CommandError when there is no such team."""
    team = find_team(connection, name)
    if team is None:
        raise CommandError(f"There is no team {name!r}; `teams list` shows those that are.")
    return team


def limit_of(text: str, catalog: Catalog) -> WrittenLimit:
    """A written limit, its model as the catalog's id. Raises CommandError."""
    written = parse_limit(text)
    if not written.model:
        return written
    spec = catalog.find(written.model)
    if spec is None:
        raise CommandError(f"limit {text!r}: the catalog has no model {written.model!r}; `catalog show` lists them.")
    return replace(written, model=spec.id)
