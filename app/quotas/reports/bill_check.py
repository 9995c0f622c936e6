"""Compares the ledger with the provider's bill, entry by entry. What was billed must be in the ledger with the same
amounts. What the ledger charged must be on the bill, or be marked as an estimate. Reads only.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from app.database.clock import to_ms
from app.database.schema import ledger_tables
from app.errors import RemoteFailure
from app.images.catalog.model_spec import NANOUSD_PER_USD
from app.quotas.reports.findings import Finding, Severity, summarized
from app.quotas.reports.retention import pruned_until
from app.quotas.rules.limits import format_usd
from app.quotas.rules.reservation import State, UsageSource

_rows = ledger_tables.reservations.c
_late = ledger_tables.corrections.c


def _known(name: str) -> ColumnElement[Any]:
    """The value from the correction if there is one, else from the reservation."""
    return func.coalesce(_late[name], _rows[name]).label(name)


def _sum(name: str) -> ColumnElement[int]:
    return (_rows[name] + func.coalesce(_late[name], 0)).label(name)


_COLUMNS = (
    _rows.id,
    _rows.model,
    _known("state"),
    _rows.dispatched_at_ms,
    _rows.held_images,
    *(_known(name) for name in ("usage_source", "priced")),
    *(_sum(name) for name in ("charged_requests", "charged_images", "charged_nanousd")),
    *(_known(f"{kind}_tokens") for kind in ("input_text", "input_image", "output_text", "output_image")),
    _known("upstream_request_id"),
)
_PAGE = 1000
_LIFE_MAX = timedelta(hours=3)  # of a reservation; longer than the settings allow


@dataclass(frozen=True, slots=True)
class BillEntry:
    """One generation that the provider performed. `nanousd` is None for an unknown price, `at` for an unknown time."""

    request_id: str
    at: datetime | None
    model: str
    images: int
    input_tokens: int
    output_tokens: int
    nanousd: int | None


@dataclass(slots=True)
class _Comparison:
    """What is still unmatched while the rows pass once."""

    entries: dict[str, list[BillEntry]]
    is_whole: bool
    pruned_until: datetime | None  # earlier entries may be deleted
    pruned: int = 0
    matched: int = 0
    charged_nanousd: int = 0
    seen: set[str] = field(default_factory=set)
    # Rows that the bill may list under an id we never learnt, by what they share with their entry.
    unproven: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))


def compare_with_bill(connection: Connection, bill: Mapping[str, Any], since: datetime | None = None) -> list[Finding]:
    """The differences between the ledger, from `since` on, and a bill as the sandbox gives it. Raises RemoteFailure for
    a wrong bill.

    A row marked `estimated` is reported as an estimate, never as an error. If the bill dropped its oldest entries, it
    cannot prove that a row is missing on it. If the ledger was pruned, it cannot prove that an old entry is missing in
    it. Such entries are counted. Call it inside `reading`.
    """
    entries = read_bill(bill)
    comparison = _Comparison(_by_id(entries), not bill.get("dropped"), pruned_until(connection))
    both = ledger_tables.reservations.outerjoin(ledger_tables.corrections, _late.reservation_id == _rows.id)
    query = select(*_COLUMNS).select_from(both).order_by(_rows.reserved_at_ms, _rows.id)
    if since is not None:
        query = query.where(_rows.reserved_at_ms >= to_ms(since))
    rows: Iterable[Row[Any]] = connection.execute(query, execution_options={"yield_per": _PAGE})
    found = [*summarized(_twice_billed(comparison)), *summarized(_compare_rows(rows, comparison))]
    found += summarized(_unrecorded(comparison))
    found += summarized(_unbilled_estimates(comparison))
    found += _beyond_the_horizon(comparison)
    return [*found, _totals(comparison, entries)]


def read_bill(bill: Mapping[str, Any]) -> list[BillEntry]:
    """The entries of a bill. Raises RemoteFailure that names the entry at fault."""
    generations = bill.get("generations")
    if not isinstance(generations, list):
        raise RemoteFailure("The bill has no list `generations`: this is not a sandbox's bill.")
    return [_entry(number, generation) for number, generation in enumerate(generations)]


def _entry(number: int, generation: Mapping[str, Any]) -> BillEntry:
    try:
        cost = generation["cost_usd"]
        # str first: a cost that came as a float means the decimal number as it was written.
        nanousd = None if cost is None else int((Decimal(str(cost)) * NANOUSD_PER_USD).to_integral_exact())
        return BillEntry(
            request_id=str(generation["request_id"]),
            at=datetime.fromisoformat(generation["at"]) if "at" in generation else None,
            model=_bare(str(generation["model"])),
            images=int(generation["n"]),
            input_tokens=int(generation["input_tokens"]),
            output_tokens=int(generation["output_tokens"]),
            nanousd=nanousd,
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise RemoteFailure(f"Entry {number} of the bill cannot be read: {type(error).__name__} {error}.") from None


def _bare(model: str) -> str:
    return model.rpartition("/")[2]


def _by_id(entries: Iterable[BillEntry]) -> dict[str, list[BillEntry]]:
    found: dict[str, list[BillEntry]] = {}
    for entry in entries:
        found.setdefault(entry.request_id, []).append(entry)
    return found


def _twice_billed(comparison: _Comparison) -> Iterator[Finding]:
    for id_, entries in comparison.entries.items():
        if len(entries) > 1:
            yield Finding(Severity.ERROR, "bill_twice", id_, f"{id_} is on the bill {len(entries)} times")


def _compare_rows(rows: Iterable[Row[Any]], comparison: _Comparison) -> Iterator[Finding]:
    for row in rows:
        upstream_id = row.upstream_request_id
        if upstream_id in comparison.entries:
            if upstream_id in comparison.seen:
                message = f"reservation {row.id} names {upstream_id}, which another reservation names too"
                yield Finding(Severity.ERROR, "bill_shared", row.id, message)
            comparison.seen.add(upstream_id)
            yield from _compare(row, comparison.entries[upstream_id][0], comparison)
        elif row.state == State.PENDING or row.usage_source == UsageSource.ESTIMATED:
            if row.dispatched_at_ms is not None:
                images = row.held_images if row.state == State.PENDING else row.charged_images
                comparison.unproven[_bare(row.model), images].append(row.id)
        elif row.usage_source == UsageSource.REPORTED:
            comparison.charged_nanousd += row.charged_nanousd
            severity = Severity.ERROR if comparison.is_whole else Severity.INFO
            message = f"reservation {row.id} was charged ${format_usd(row.charged_nanousd)} and is not on the bill"
            yield Finding(severity, "bill_missing", row.id, message)


def _compare(row: Row[Any], entry: BillEntry, comparison: _Comparison) -> Iterator[Finding]:
    """Compares one row with its entry."""
    comparison.matched += 1
    comparison.charged_nanousd += row.charged_nanousd or 0
    billed = "at an unknown price" if entry.nanousd is None else f"${format_usd(entry.nanousd)}"
    if row.state == State.PENDING:
        yield Finding(Severity.INFO, "bill_pending", row.id, f"reservation {row.id} is pending, and billed {billed}")
        return
    charged = f"${format_usd(row.charged_nanousd)}"
    if row.usage_source == UsageSource.NONE:
        message = f"reservation {row.id} ({row.state}) was charged nothing, and is billed {billed}"
        yield Finding(Severity.ERROR, "bill_uncharged", row.id, message)
        return
    if row.usage_source == UsageSource.ESTIMATED:
        message = f"reservation {row.id} was charged an estimate of {charged}, and is billed {billed}"
        yield Finding(Severity.INFO, "estimated", row.id, message)
        return
    if entry.nanousd is not None and row.charged_nanousd != entry.nanousd:
        severity = Severity.ERROR if row.priced else Severity.WARNING
        message = f"reservation {row.id} was charged {charged}, and is billed {billed}"
        yield Finding(severity, "bill_cost", row.id, message + ("" if row.priced else " (its model has no price)"))
    counts = {
        "images": (row.charged_images, entry.images),
        "input tokens": ((row.input_text_tokens or 0) + (row.input_image_tokens or 0), entry.input_tokens),
        "output tokens": ((row.output_text_tokens or 0) + (row.output_image_tokens or 0), entry.output_tokens),
    }
    for what, (ours, theirs) in counts.items():
        if ours != theirs:
            message = f"reservation {row.id} has {ours} {what}, the bill {theirs}"
            yield Finding(Severity.ERROR, "bill_count", row.id, message)


def _unrecorded(comparison: _Comparison) -> Iterator[Finding]:
    """Entries that no row names. A row whose process died never learnt its id; such a row of the same kind explains one
    entry.
    """
    for id_, entries in comparison.entries.items():
        if id_ in comparison.seen:
            continue
        for entry in entries:
            if _may_be_pruned(entry, comparison.pruned_until):
                comparison.pruned += 1
                continue
            candidates = comparison.unproven.get((entry.model, entry.images))
            if candidates:
                ours = candidates.pop()
                message = f"{id_} on the bill is taken for reservation {ours}, which never learnt its id"
                yield Finding(Severity.INFO, "estimated", ours, message)
            else:
                billed = "at an unknown price" if entry.nanousd is None else f"${format_usd(entry.nanousd)}"
                message = f"{id_} is billed {billed} ({entry.images} of {entry.model}) and in no reservation"
                yield Finding(Severity.ERROR, "bill_unrecorded", id_, message)


def _may_be_pruned(entry: BillEntry, horizon: datetime | None) -> bool:
    """A request is billed while it runs, so an entry from just after the horizon may belong to a request made before
    it.
    """
    return horizon is not None and entry.at is not None and entry.at < horizon + _LIFE_MAX


def _beyond_the_horizon(comparison: _Comparison) -> Iterator[Finding]:
    if comparison.pruned and comparison.pruned_until is not None:
        day = f"{comparison.pruned_until:%Y-%m-%d}"
        message = f"{comparison.pruned} entries of the bill are of days before {day}, of which only totals are kept"
        yield Finding(Severity.INFO, "bill_pruned", "", message)


def _unbilled_estimates(comparison: _Comparison) -> Iterator[Finding]:
    for ids in comparison.unproven.values():
        for id_ in ids:
            message = f"reservation {id_} is an estimate or still runs, and nothing on the bill is like it"
            yield Finding(Severity.INFO, "estimated", id_, message)


def _totals(comparison: _Comparison, entries: list[BillEntry]) -> Finding:
    billed = sum(entry.nanousd or 0 for entry in entries)
    message = (
        f"{comparison.matched} of {len(entries)} entries of the bill are matched; the ledger charged "
        f"${format_usd(comparison.charged_nanousd)} for what it knows of them, the bill says ${format_usd(billed)}"
    )
    return Finding(Severity.INFO, "bill_total", "", message)
