"""Changes: who changed what and when, with what was there before, filtered by who and what."""

import json
from urllib.parse import urlencode

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.changes import list_changes
from app.admin.operator import Operator
from app.console.web.csv_answer import csv_answer
from app.console.web.visit import Visit
from app.database.changes import RecordedChange, Wanted
from app.errors import InvalidValue

PATH = "/console/changes"
ROWS = 100
CSV_ROWS_MAX = 10_000


async def show_changes(visit: Visit) -> Response:
    """The page, or a CSV file of the newest that fit the filters."""
    actor, target, before = visit.asked("actor"), visit.asked("target"), visit.asked("before")
    if before and not (before.isdecimal() and len(before) < 16):
        raise InvalidValue("'before' is the number of a change.")
    wanted = Wanted(actor=actor or None, target=target or None, before_id=int(before) if before else None)
    is_csv = visit.asked("format") == "csv"
    limit = CSV_ROWS_MAX if is_csv else ROWS + 1
    found = await visit.read(lambda operator: _taken(operator, wanted, limit))
    if is_csv:
        head = ("id", "at", "actor", "action", "target", "before", "after")
        return csv_answer("changes", head, (_line(change) for change in found))
    kept = {name: value for name, value in (("actor", actor), ("target", target)) if value}
    older = urlencode({**kept, "before": str(found[ROWS - 1].id)}) if len(found) > ROWS else None
    return visit.page(
        "changes.html",
        changes=found[:ROWS],
        differences=differences,
        actor=actor,
        target=target,
        older=older,
        csv=f"{PATH}?{urlencode({**kept, 'format': 'csv'})}",
    )


def differences(change: RecordedChange) -> list[tuple[str, str | None, str | None]]:
    """The fields that are not as before: the name, what was there, what is there; None for nothing."""
    before, after = change.before or {}, change.after or {}
    names = [*before, *(name for name in after if name not in before)]
    return [
        (name, _shown(before.get(name)), _shown(after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _taken(operator: Operator, wanted: Wanted, limit: int) -> list[RecordedChange]:
    with list_changes(operator, wanted, limit) as found:
        return list(found)


def _line(change: RecordedChange) -> tuple[object, ...]:
    values = (None if each is None else json.dumps(each, ensure_ascii=False) for each in (change.before, change.after))
    return (change.id, f"{change.at:%Y-%m-%dT%H:%M:%SZ}", change.actor, change.action, change.target, *values)


PAGES = (("GET", PATH, show_changes, Permission.READ_CHANGES),)
