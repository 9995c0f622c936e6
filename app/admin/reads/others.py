"""The use cases of the other long lists: refusals, comparisons with the bill, files."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from app.admin.access.permissions import Permission, permit
from app.admin.access.reaching import reached_users
from app.admin.lookup.owners import with_owner_ids
from app.admin.operator import Operator
from app.admin.reads.pages import Page, Row, page_of_rows
from app.admin.reads.requests import reached_values
from app.admin.views import iso
from app.database.clock import from_ms, to_ms
from app.errors import InvalidValue
from app.files.store.index import StoredFile, WantedFiles, list_files
from app.quotas.reports.lists.refusals import WantedRefusals, read_refusals
from app.quotas.reports.reconciliations import WantedChecks, read_checks
from app.quotas.rules.limits import format_usd


def list_refusals(operator: Operator, wanted: WantedRefusals, after: str | None, limit: int) -> Page:
    """Refused requests by hour, user, key and code, the newest hour first. `after` is the id of the last one of the
    page before.

    `wanted.values` are exact, by column; owners by name or id. Raises InvalidValue if `after` is none.
    """
    mine, place = reached_values(operator), _refusal_place(after)
    with operator.reading() as connection:
        values = (*with_owner_ids(connection, wanted.values), *mine)
        rows = read_refusals(connection, replace(wanted, values=values), place, limit + 1)
    return page_of_rows([_refusal_json(row) for row in rows], limit)


def list_reconciliations(operator: Operator, wanted: WantedChecks, after: str | None, limit: int) -> Page:
    """The days that were compared with ZenMux's bill, the newest first: a row for each model and account. `after` is
    the id of the last one of the page before.

    Raises InvalidValue if `after` is none.
    """
    permit(operator.principal, Permission.READ_GATEWAY)
    place = _check_place(after)
    with operator.reading() as connection:
        rows = read_checks(connection, wanted, place, limit + 1)
    return page_of_rows([_check_json(row) for row in rows], limit)


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files. `user` is a name or id. `after` is the id of the last one of the page before."""

    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None
    limit: int = 100


def list_kept_files(operator: Operator, asked: FileFilter) -> Page:
    """Files that are kept, the newest first. Their ids are a part of their links' secret, so only a beginning is shown.

    Raises InvalidValue if `after` is none.
    """
    with operator.reading() as connection:
        reached = reached_users(operator, connection, Permission.READ_USAGE, asked.user)
        wanted = WantedFiles(reached.ids, asked.since, asked.until, _file_place(asked.after))
        found = list_files(connection, wanted, asked.limit + 1)
    return page_of_rows([_file_json(file, reached.names.get(file.owner.user_id)) for file in found], asked.limit)


def _file_place(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    moment, dash, beginning = after.partition("-")
    if not dash or not moment.isdecimal() or len(moment) > 15:
        raise InvalidValue("There is no file with the id in 'after'. Begin again without it.")
    return int(moment), beginning


def _refusal_place(after: str | None) -> tuple[int, str, str, str] | None:
    if after is None:
        return None
    try:
        written, user_id, key_id, code = after.split("/")
        return to_ms(datetime.fromisoformat(written)), user_id, key_id, code
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without a zone
        raise InvalidValue("There is no refusal with the id in 'after'. Begin again without it.") from None


def _check_place(after: str | None) -> tuple[int, str, str] | None:
    if after is None:
        return None
    try:
        day, account, model = after.split("/", 2)  # a model's name has slashes
        return to_ms(datetime.combine(date.fromisoformat(day), time(), UTC)), account, model
    except ValueError:
        raise InvalidValue("There is no comparison with the id in 'after'. Begin again without it.") from None


def _file_json(file: StoredFile, user: str | None) -> Row:
    return {
        "id": f"{to_ms(file.created_at)}-{file.id[:8]}",
        "kind": file.kind.value,
        "user": user,
        "user_id": file.owner.user_id,
        "key_id": file.owner.key_id,
        "request_id": file.request_id,
        "bytes": file.size,
        "content_type": file.content_type,
        "created_at": iso(file.created_at),
        "expires_at": iso(file.expires_at),
    }


def _refusal_json(row: dict[str, Any]) -> Row:
    start = iso(from_ms(row["hour_start_ms"]))
    return {
        "id": "/".join([str(start), row["user_id"], row["key_id"], row["code"]]),
        "hour": start,
        "user": row["user_name"],
        "user_id": row["user_id"] or None,
        "key_id": row["key_id"] or None,
        "code": row["code"],
        "count": row["count"],
    }


def _check_json(row: dict[str, Any]) -> Row:
    day = f"{from_ms(row['day_start_ms']):%Y-%m-%d}"
    drift = row["ledger_nanousd"] - row["billed_nanousd"]
    sums: Row = {"drift_usd": format_usd(drift), "drift_nanousd": drift}
    for whose in ("ledger", "billed"):
        sums[f"{whose}_requests"] = row[f"{whose}_requests"]
        sums[f"{whose}_usd"] = format_usd(row[f"{whose}_nanousd"])
        sums[f"{whose}_nanousd"] = row[f"{whose}_nanousd"]
    return {
        "id": "/".join([day, row["account"], row["model"]]),
        "day": day,
        "account": row["account"] or None,
        "model": row["model"] or None,
        **sums,
        "checked_at": iso(from_ms(row["checked_at_ms"])),
    }
