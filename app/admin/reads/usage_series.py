"""The use case of usage over time: sums by bucket and words, for charts and for OpenAI's reports."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.lookup.owners import with_owner_ids
from app.admin.operator import Operator
from app.admin.reads.pages import Page, Row, page_of_rows
from app.admin.reads.requests import reached_values
from app.admin.views import iso
from app.errors import InvalidValue
from app.identity.keys.keys import list_keys
from app.identity.people.teams import list_teams
from app.identity.people.users import list_users
from app.quotas.reports.lists.series import SeriesPage, SeriesRow, Span, WantedSeries, usage_series
from app.quotas.rules.limits import format_usd

_SUMS = {
    "requests": "requests",
    "released": "released",
    "refused": "refused",
    "estimated": "estimated",
    "unpriced": "unpriced",
    "images": "charged_images",
    "tokens": "charged_tokens",
    "input_text_tokens": "input_text_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_text_tokens": "output_text_tokens",
    "output_image_tokens": "output_image_tokens",
    "nanousd": "charged_nanousd",
}


def read_series(operator: Operator, wanted: WantedSeries, page: SeriesPage | None = None) -> list[SeriesRow]:
    """The sums that the role reaches. Users and teams in `only` may be names. Raises what `usage_series` does."""
    permit(operator.principal, Permission.READ_USAGE)
    with operator.reading() as connection:
        only = [
            (word, frozenset(id_ for _, id_ in with_owner_ids(connection, [(word, each) for each in values])))
            for word, values in wanted.only
        ]
        only += [(word, frozenset([value])) for word, value in reached_values(operator)]
        return list(usage_series(connection, replace(wanted, only=tuple(only)), page))


def list_series(operator: Operator, wanted: WantedSeries, page: SeriesPage) -> Page:
    """A page of them as JSON rows. `id` says which sum it is."""
    rows = read_series(operator, wanted, replace(page, limit=page.limit + 1))
    with operator.reading() as connection:
        names = _names(connection, wanted.by)
    return page_of_rows([_row_json(row, wanted.by, names) for row in rows], page.limit)


def series_page(wanted: WantedSeries, after: str | None, limit: int) -> SeriesPage:
    """The page behind the sum with this id. Raises InvalidValue if it is the id of no such sum."""
    if after is None:
        return SeriesPage(limit)
    written, *words = after.split("/")
    if "model" in wanted.by:  # the only word that may have a slash
        first = wanted.by.index("model")
        end = len(words) - (len(wanted.by) - first - 1)
        words[first:end] = ["/".join(words[first:end])]
    try:
        start = None if wanted.bucket is Span.ALL and written == "all" else datetime.fromisoformat(written)
        is_one = (start is None) == (wanted.bucket is Span.ALL) and (start is None or start.tzinfo is not None)
    except ValueError:
        is_one = False
    if not is_one or len(words) != len(wanted.by):
        raise InvalidValue("There is no sum with the id in 'after'. Begin again without it.")
    return SeriesPage(limit, (start, tuple(words)))


def _row_json(row: SeriesRow, by: Iterable[str], names: dict[str, dict[str, str]]) -> Row:
    start = iso(row.start)
    words: dict[str, Any] = dict.fromkeys(_WORDS)
    for word, value in zip(by, row.words, strict=True):
        words[word] = value
        if word in names:
            words[word.removesuffix("_id")] = names[word].get(value)
    sums = {name: row.sums[column] for name, column in _SUMS.items()}
    key = "/".join([start or "all", *row.words])
    return {"id": key, "start": start, **words, **sums, "usd": format_usd(sums["nanousd"])}


_WORDS = (
    *("user", "user_id", "team", "team_id", "key", "key_id"),
    *("model", "operation", "size", "quality", "outcome", "account"),
)


def _names(connection: Connection, by: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    if "user_id" in by:
        found["user_id"] = {user.id: user.name for user in list_users(connection)}
    if "team_id" in by:
        found["team_id"] = {team.id: team.name for team in list_teams(connection)}
    if "key_id" in by:
        found["key_id"] = {key.id: key.name or key.id for key in list_keys(connection)}
    return found
