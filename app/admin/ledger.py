"""Use cases of the ledger: audit, close what dead processes left, prune."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from app.admin.operator import Operator
from app.admin.views import iso
from app.errors import InvalidValue
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.spool.file import Spool
from app.quotas.refusals.hours import count_old_refusals, prune_refusals
from app.quotas.reports import audit as audits
from app.quotas.reports import retention
from app.quotas.reports.findings import Finding, Severity
from app.quotas.reports.retention import Pruned
from app.quotas.rules.thresholds import Watch
from app.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit. `wrong` is the number of errors; without any, every counter is exact."""

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> int:
        return sum(finding.severity is Severity.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {"clean": not self.wrong, "findings": [asdict(finding) for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do: `records` made before `cutoff` are deleted, `pending` ones stay; so are the numbers of
    `refusals` from before it.
    """

    cutoff: datetime
    records: int
    pending: int
    refusals: int

    def as_json(self, pruned: int) -> dict[str, Any]:
        """The plan, and how many of its records were pruned."""
        return {"before": iso(self.cutoff), "pruned": pruned, "pending": self.pending}


def audit(operator: Operator, bill: Mapping[str, Any] | None = None) -> Audit:
    """Proves that counters equal their records and that every reservation was closed once, and compares with a bill.

    Raises RemoteFailure if the bill cannot be read.
    """
    with operator.reading() as connection:
        findings = list(audits.audit(connection, operator.now))
        if bill is not None:
            findings += audits.compare_with_bill(connection, bill)
    return Audit(tuple(findings))


async def expire(operator: Operator, settings: Settings) -> list[str]:
    """Closes reservations of dead processes, and returns their ids: charged if they had been sent, else free."""
    instance = f"cli-{operator.random_bytes(6).hex()}"
    spool = None
    if settings.spool_dir.is_dir():  # never made here: it would belong to this user, who may not be the gateway's user
        spool = Spool(settings.spool_dir, instance, settings.spool_bytes_max)
    ledger = Ledger(
        operator.engine,
        operator.clock,
        instance=instance,
        queue_max=settings.ledger_queue_max,
        wait_seconds=settings.ledger_wait_seconds,
        # A charge made here may cross a threshold; a running gateway sends the event.
        watch=Watch(settings.thresholds_percent, webhook=settings.webhook_url is not None),
    )
    await ledger.start(spool)
    try:
        return await ledger.expire(operator.now)
    finally:
        await ledger.close()


def plan_prune(operator: Operator, older_than: timedelta) -> PrunePlan:
    """What a prune would do. Raises InvalidValue for records that are too young."""
    try:
        cutoff = retention.cutoff_of(operator.now, older_than)
    except ValueError as error:
        raise InvalidValue(str(error)) from None
    with operator.reading() as connection:
        found = retention.find_prunable(connection, cutoff)
        refusals = count_old_refusals(connection, cutoff)
    return PrunePlan(cutoff, found.records, found.pending, refusals)


def prune(
    operator: Operator,
    plan: PrunePlan,
    rest: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Pruned]:
    """Deletes the plan's records, some hundred per step; their totals stay. May be stopped, and begun again.

    It pauses for as long as it works, so that a gateway beside it can work too, which matters most on SQLite.
    """
    began = monotonic()
    records = retention.prune(operator.engine, plan.cutoff, operator.change())
    refusals = (Pruned(0, plan.cutoff) for _ in prune_refusals(operator.engine, plan.cutoff))
    for step in chain(records, refusals):
        ended = monotonic()
        yield step
        rest(ended - began)
        began = monotonic()
