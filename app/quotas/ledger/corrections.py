"""Corrections: the one row that says how an expired reservation really ended, and how wrong its charge was. Pure.
execute.py decides when one is due, store.py writes it.
"""

from typing import NamedTuple

from app.quotas.ledger.rows import Closing, Record, charge_of_expired
from app.quotas.rules.reservation import Amounts, State, UsageSource

_WAS_ESTIMATED = "(charged_requests = -1 OR (charged_requests = 0 AND state = 'settled'))"
COUNTS = {
    "requests": "0",
    "released": "-charged_requests",
    "refused": "CASE WHEN state = 'settled' AND usage_source = 'none' THEN 1 ELSE 0 END",
    "estimated": (
        f"CASE WHEN usage_source = 'estimated' THEN 1 ELSE 0 END - CASE WHEN {_WAS_ESTIMATED} THEN 1 ELSE 0 END"
    ),
    "unpriced": "CASE WHEN NOT priced AND usage_source <> 'none' THEN 1 ELSE 0 END",
}
"""What a correction adds to each number of a report, as SQL over its own columns. An expired reservation was charged
one request as an estimate, or nothing.
"""


class Correction(NamedTuple):
    """The columns of a correction's row. The charge is a difference and may be below zero."""

    reservation_id: str
    key_id: str
    user_id: str
    team_id: str | None
    model: str
    account: str
    reserved_at_ms: int
    corrected_at_ms: int
    state: str
    outcome: str
    usage_source: str
    charged_requests: int
    charged_images: int
    charged_tokens: int
    charged_nanousd: int
    priced: bool | None
    input_text_tokens: int | None
    input_image_tokens: int | None
    output_text_tokens: int | None
    output_image_tokens: int | None
    client_left: bool | None
    upstream_status: int | None
    upstream_request_id: str | None
    first_byte_ms: int | None
    duration_ms: int | None

    @property
    def delta(self) -> Amounts:
        return Amounts(self.charged_requests, self.charged_images, self.charged_tokens, self.charged_nanousd)


def correction_of(record: Record, closing: Closing) -> Correction:
    """The correction that turns the charge of an expired reservation into that of `closing`."""
    delta = (now - then for now, then in zip(closing.charged, charge_of_expired(record), strict=True))
    state, resolved_at_ms, outcome, usage_source, _, _, _, _, *rest = closing
    words = (resolved_at_ms, state, outcome, usage_source)
    return Correction._make((record.id, *record.party, record.reserved_at_ms, *words, *delta, *rest))


def counts_of(correction: Correction) -> tuple[int, ...]:
    """The same as COUNTS, in its order, for one correction."""
    charged, state, source = correction.charged_requests, correction.state, correction.usage_source
    was_estimated = charged == -1 or (charged == 0 and state == State.SETTLED)
    return (
        0,
        -charged,
        int(state == State.SETTLED and source == UsageSource.NONE),
        int(source == UsageSource.ESTIMATED) - int(was_estimated),
        int(correction.priced is False and source != UsageSource.NONE),
    )


def is_of(correction: Correction, closing: Closing) -> bool:
    """Whether this closing made the correction."""
    made = (correction.state, correction.corrected_at_ms, correction.outcome)
    return made == (closing.state, closing.resolved_at_ms, closing.outcome)
