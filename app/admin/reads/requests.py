"""The use cases of single requests: list those that ended or run, show one. Never a prompt, never an image."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.admin.access.permissions import Permission, Reach, permit
from app.admin.lookup.owners import with_owner_ids
from app.admin.operator import Operator
from app.admin.reads.pages import Page, Row, amounts_json, page_of_rows
from app.admin.views import iso
from app.database.clock import from_ms, to_ms
from app.errors import InvalidValue, NotFound
from app.quotas.ledger.liveness.heartbeat import Look, look_at, store_now_ms
from app.quotas.reports.lists.requests import WantedRequests, read_request, read_requests

_TOKENS = ("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens")
_SAME = (
    *("id", "state", "user_id", "key_id", "team_id", "operation", "model", "size", "quality", "streamed", "account"),
    *("outcome", "usage_source", "priced", "client_left", "upstream_status", "upstream_request_id", *_TOKENS),
    *("first_byte_ms", "duration_ms"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request is that runs in this process."""

    phase: str
    sent_bytes: int


InFlight = Callable[[str], Progress | None]
"""What this process knows of a request that it runs."""


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests, by the names or ids that people use. `after` is the id of the last one of the page before."""

    wanted: WantedRequests = field(default_factory=WantedRequests)
    after: str | None = None
    limit: int = 100


def list_requests(operator: Operator, asked: RequestFilter, in_flight: InFlight = lambda _: None) -> Page:
    """Requests that the role reaches, the newest first; pending ones the oldest first, with their age.

    Raises InvalidValue if `after` is none.
    """
    mine = reached_values(operator)
    with operator.reading() as connection:
        wanted = replace(asked.wanted, values=(*with_owner_ids(connection, asked.wanted.values), *mine))
        place = None
        if asked.after is not None:
            last = read_request(connection, asked.after)
            if last is None or not _is_reached(last, mine):
                raise InvalidValue("There is no request with the id in 'after'. Begin again without it.")
            place = last["reserved_at_ms"], last["id"]
        rows = read_requests(connection, wanted, place, asked.limit + 1)
        look = look_at(connection, store_now_ms(connection)) if wanted.is_pending else None
    now_ms = to_ms(operator.now)
    return page_of_rows([_request_json(row, now_ms, look, in_flight) for row in rows], asked.limit)


def show_request(operator: Operator, request_id: str, in_flight: InFlight = lambda _: None) -> Row:
    """One request. Raises NotFound."""
    mine = reached_values(operator)
    with operator.reading() as connection:
        row = read_request(connection, request_id)
        look = look_at(connection, store_now_ms(connection))
    if row is None or not _is_reached(row, mine):
        raise NotFound("There is no request with this id; its record may be pruned.")
    return _request_json(row, to_ms(operator.now), look, in_flight)


def reached_values(operator: Operator) -> tuple[tuple[str, str], ...]:
    """What a row's columns must be for the role to reach it. A lead sees what the team's users asked for while they
    were in it; a member the own.
    """
    reach, principal = permit(operator.principal, Permission.READ_USAGE), operator.principal
    if reach is Reach.ALL or principal is None:
        return ()
    column, value = ("team_id", principal.team_id) if reach is Reach.TEAM else ("user_id", principal.user_id)
    return ((column, value or ""),)


def _is_reached(row: Mapping[str, Any], values: Iterable[tuple[str, str]]) -> bool:
    return all(row[column] == value for column, value in values)


def _request_json(row: Mapping[str, Any], now_ms: int, look: Look | None, in_flight: InFlight) -> Row:
    is_pending = row["state"] == "pending"
    progress = in_flight(row["id"]) if is_pending else None
    is_alive = None if look is None or not is_pending else row["instance"] not in look.dead
    return {
        **{name: row[name] for name in _SAME},
        "user": row["user_name"],
        "key": row["key_name"],
        "team": row["team_name"],
        **{f"{name}_at": _at(row[f"{name}_at_ms"]) for name in ("reserved", "dispatched", "expires", "resolved")},
        **amounts_json(row, "held"),
        **amounts_json(row, "charged"),
        **{name.replace("late_charged", "corrected"): value for name, value in _late(row).items()},
        "corrected_at": _at(row["late_corrected_at_ms"]),
        "age_seconds": round((now_ms - row["reserved_at_ms"]) / 1000, 1) if is_pending else None,
        "process": row["instance"],
        "process_is_alive": is_alive,
        "phase": progress.phase if progress else None,
        "sent_bytes": progress.sent_bytes if progress else None,
    }


def _late(row: Mapping[str, Any]) -> Row:
    return amounts_json(row, "late_charged")


def _at(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else iso(from_ms(moment_ms))
