"""The rows of the ledger as values: a new reservation, what is known of it later, and what closes it. Pure; store.py
writes and reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from app.database.clock import to_ms
from app.quotas.rules.applicable import Party
from app.quotas.rules.reservation import NOTHING, PENDING, Amounts, Hold, Settlement, State, UsageSource

# Members are slow to look up in Python 3.11.
_VALUES = {member: member.value for kind in (State, UsageSource) for member in kind}

# The widths of the columns, so that no strange header of ZenMux can make a settlement fail.
_OUTCOME_LENGTH_MAX = 32
_REQUEST_ID_LENGTH_MAX = 128


class NewRow(NamedTuple):
    """The columns of a new reservation's row."""

    id: str
    key_id: str
    user_id: str
    team_id: str | None
    instance: str
    operation: str
    model: str
    size: str
    quality: str
    streamed: bool
    state: str
    reserved_at_ms: int
    expires_at_ms: int
    held_images: int
    held_tokens: int
    held_nanousd: int
    dispatched_at_ms: int | None
    input_images: int
    received_bytes: int
    account: str
    fingerprint: str | None


class Closing(NamedTuple):
    """The columns that a resolution fills, once."""

    state: str
    resolved_at_ms: int
    outcome: str
    usage_source: str
    charged_requests: int
    charged_images: int
    charged_tokens: int
    charged_nanousd: int
    priced: bool | None = None
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None
    output_text_tokens: int | None = None
    output_image_tokens: int | None = None
    client_left: bool | None = None
    upstream_status: int | None = None
    upstream_request_id: str | None = None
    first_byte_ms: int | None = None
    duration_ms: int | None = None

    @property
    def charged(self) -> Amounts:
        return Amounts(self.charged_requests, self.charged_images, self.charged_tokens, self.charged_nanousd)


@dataclass(slots=True)
class Record:
    """What the ledger knows of a reservation's row."""

    id: str
    party: Party
    state: str
    reserved_at_ms: int
    dispatched_at_ms: int | None
    held: Amounts
    resolved_at_ms: int | None = None
    outcome: str | None = None
    asked: tuple[str, str, str] = ("", "", "")  # operation, size, quality


RECORD_COLUMNS = (
    *("id", "key_id", "user_id", "team_id", "model", "account", "state", "reserved_at_ms", "dispatched_at_ms"),
    *("held_images", "held_tokens", "held_nanousd", "resolved_at_ms", "outcome"),
    *("operation", "size", "quality"),
)
"""The columns that a record is read from."""


def new_row(hold: Hold, instance: str) -> NewRow:
    """The row of a new reservation."""
    amounts, reserved_at_ms = hold.amounts, to_ms(hold.reserved_at)
    return NewRow._make(  # costs a third of NewRow(...)
        (
            hold.id,
            hold.key_id,
            hold.user_id,
            hold.team_id,
            instance,
            hold.operation,
            hold.model,
            hold.size,
            hold.quality,
            hold.streamed,
            PENDING,
            reserved_at_ms,
            to_ms(hold.expires_at),
            amounts.images,
            amounts.tokens,
            amounts.nanousd,
            reserved_at_ms if hold.is_dispatched else None,
            hold.input_images,
            hold.received_bytes,
            hold.account,
            hold.fingerprint,
        )
    )


def record_read(row: Sequence[Any]) -> Record:
    """A record from its columns."""
    *known, operation, size, quality = row
    id_, *party, state, reserved_at_ms, dispatched_at_ms, images, tokens, nanousd, resolved_at_ms, outcome = known
    held, asked = Amounts(1, images, tokens, nanousd), (operation, size, quality)
    return Record(id_, Party(*party), state, reserved_at_ms, dispatched_at_ms, held, resolved_at_ms, outcome, asked)


def closing_of(settlement: Settlement) -> Closing:
    """What a settlement or a release writes."""
    usage, upstream_request_id = settlement.usage, settlement.upstream_request_id
    return Closing._make(  # costs a third of Closing(...)
        (
            _VALUES[settlement.state],
            to_ms(settlement.resolved_at),
            settlement.outcome[:_OUTCOME_LENGTH_MAX],
            _VALUES[settlement.usage_source],
            *settlement.charged,
            settlement.priced,
            usage.input_text_tokens if usage else None,
            usage.input_image_tokens if usage else None,
            usage.output_text_tokens if usage else None,
            usage.output_image_tokens if usage else None,
            settlement.client_left,
            settlement.upstream_status,
            upstream_request_id[:_REQUEST_ID_LENGTH_MAX] if upstream_request_id else None,
            settlement.first_byte_ms,
            settlement.duration_ms,
        )
    )


def closing_of_expired(record: Record, at: datetime) -> Closing:
    """What expiry writes. If bytes may have been sent upstream, the hold is charged; if none were, nothing."""
    source = UsageSource.NONE if record.dispatched_at_ms is None else UsageSource.ESTIMATED
    return Closing(State.EXPIRED.value, to_ms(at), "expired", source.value, *charge_of_expired(record))


def charge_of_expired(record: Record) -> Amounts:
    """The hold if it was dispatched, else nothing."""
    return NOTHING if record.dispatched_at_ms is None else record.held
