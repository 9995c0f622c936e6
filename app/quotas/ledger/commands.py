"""What the ledger is asked to do, and the outcomes. Pure values: execute.py carries commands out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from app.errors import DuplicateReservation, IdempotencyKeyTaken, LimitReached, StoreUnavailable
from app.quotas.ledger.attempts.rows import ATTEMPT_COMMANDS, AttemptCommand, AttemptRow
from app.quotas.rules.admission import RateStatus
from app.quotas.rules.reservation import (
    AMOUNT_MAX,
    NOTHING,
    ONE_REQUEST,
    Amounts,
    Hold,
    Resolution,
    Settlement,
    State,
    UsageSource,
)

_SETTLED, _RELEASED, _NONE = State.SETTLED, State.RELEASED, UsageSource.NONE  # members are slow to look up in 3.11


class Reserve(NamedTuple):
    """Take `hold`, or refuse. `attempt` has an idempotency key, which must be free: it is taken with the hold."""

    hold: Hold
    attempt: AttemptRow | None = None


class MarkDispatched(NamedTuple):
    """From here on the reservation's request may have been bought."""

    reservation_id: str
    at: datetime


class Move(NamedTuple):
    """Turn a pending reservation to another account: proof has come that nothing was bought with the one it had.

    Only that account's own limits may refuse it. Then nothing changes. `is_dispatched` as in a hold.
    """

    reservation_id: str
    account: str
    at: datetime
    is_dispatched: bool


class Resolve(NamedTuple):
    """Settle or release."""

    reservation_id: str
    settlement: Settlement


class Expire(NamedTuple):
    """Close a reservation that its own process did not close: at the estimate if it was dispatched, else for
    nothing.
    """

    reservation_id: str
    at: datetime


class Probe(NamedTuple):
    """Write as a reservation is written, and leave nothing. Shows whether the store accepts writes."""

    hold: Hold


ReservationCommand = Reserve | MarkDispatched | Move | Resolve | Expire | Probe
Command = ReservationCommand | AttemptCommand
_WITH_HOLD = (Reserve, Probe)  # a union would be made anew at every call, and looked through more slowly


class Reserved(NamedTuple):
    """A hold was taken. `shadow_refusals`: what shadow limits would have refused, as `user/images images:5/day`."""

    rate: RateStatus | None
    shadow_refusals: tuple[str, ...] = ()


CommandResult = (
    Reserved | Resolution | LimitReached | DuplicateReservation | IdempotencyKeyTaken | StoreUnavailable | None
)
"""None: marked as dispatched, moved, or written for a probe."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A command in progress. `waiter` belongs to whoever submitted it and means nothing here.

    `in_doubt`: the commit of its transaction was sent and no answer came, so it may or may not have happened. `outcome`
    is set when it has been delivered.
    """

    command: Command
    waiter: Any = None
    in_doubt: bool = False
    outcome: CommandResult = None


def reservation_id(command: ReservationCommand) -> str:
    """The id of the reservation that a command is about."""
    return command.hold.id if isinstance(command, _WITH_HOLD) else command.reservation_id


def records_needed(commands: Iterable[Command], *, with_new: bool) -> set[str]:
    """The ids of the reservations that have to be read for these commands."""
    return {
        reservation_id(command)
        for command in commands
        if not isinstance(command, ATTEMPT_COMMANDS) and (with_new or not isinstance(command, Reserve))
    }


def doubtful_ids(tickets: Iterable[Ticket]) -> frozenset[str]:
    """The ids of the reservations of commands that are in doubt."""
    doubtful = [ticket.command for ticket in tickets if ticket.in_doubt]
    return frozenset(records_needed(doubtful, with_new=True) if doubtful else ())


def plausible(settlement: Settlement, held: Amounts) -> Settlement:
    """The settlement; or the estimate, if the settlement has amounts that no request can cost. Sums of such amounts
    would overflow the databases' integers.
    """
    usage = settlement.usage
    _, images, tokens, nanousd = settlement.charged  # one by one is faster, and every settlement passes here
    is_possible = images <= AMOUNT_MAX and tokens <= AMOUNT_MAX and nanousd <= AMOUNT_MAX
    if is_possible and (usage is None or usage.total_tokens <= AMOUNT_MAX):
        return settlement
    return settlement._replace(usage_source=UsageSource.ESTIMATED, charged=held, usage=None)


def withdrawal(hold: Hold, at: datetime) -> Resolve:
    """Releases a hold that nobody waits for any more. Nothing was sent for it."""
    return Resolve(
        hold.id,
        Settlement(
            state=State.RELEASED,
            outcome="withdrawn",
            usage_source=UsageSource.NONE,
            charged=NOTHING,
            usage=None,
            priced=True,
            client_left=False,
            upstream_status=None,
            upstream_request_id=None,
            first_byte_ms=None,
            duration_ms=0,
            resolved_at=at,
        ),
    )


def check_hold(hold: Hold) -> None:
    """Raises ValueError for a hold that the ledger cannot carry: a reservation is one request and holds nothing
    negative.
    """
    amounts = hold.amounts
    if amounts.requests != 1:
        raise ValueError(f"a hold is one request, not {amounts.requests}")
    if min(amounts) < 0:
        raise ValueError(f"negative hold: {amounts}")
    if max(amounts) > AMOUNT_MAX:
        raise ValueError(f"no hold can be so large: {amounts}")


def check_settlement(settlement: Settlement) -> None:
    """Raises ValueError for an ending that a caller may not give. Allowed are settled and released, nothing negative,
    and a release without a charge.
    """
    state, charged = settlement.state, settlement.charged
    if state is not _SETTLED and state is not _RELEASED:
        raise ValueError(f"a reservation is settled or released, not {state}")
    if min(charged) < 0:
        raise ValueError(f"negative charge: {charged}")
    if state is _RELEASED and (charged != NOTHING or settlement.usage_source is not _NONE):
        raise ValueError("a release charges nothing and has no usage; what cost something is settled")
    if state is _SETTLED and settlement.usage_source is _NONE and charged != ONE_REQUEST:
        raise ValueError("what was refused is one request, and charges nothing else")
