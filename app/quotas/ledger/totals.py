"""What a batch adds to the totals of hours and days, added up first, so that each total is written once. Pure: store.py
writes them. The audit proves that they equal the sums of the reservations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.quotas.ledger.corrections import Correction, counts_of
from app.quotas.ledger.rows import Closing, Record
from app.quotas.rules.reservation import State
from app.quotas.rules.windows import DAY_MS, HOUR_MS

_EXPIRED = State.EXPIRED.value


class _Place(NamedTuple):
    """The words of a total, in the order of TOTAL_WORDS."""

    key_id: str
    user_id: str
    team_id: str
    model: str
    operation: str
    size: str
    quality: str
    outcome: str
    account: str


@dataclass(slots=True)
class Totals:
    """Sums by hour and words, of what one transaction resolves and corrects."""

    _hours: dict[tuple[int, _Place], Sequence[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._hours)

    def add_closing(self, record: Record, closing: Closing) -> None:
        """A reservation that was resolved."""
        charged_requests, source = closing.charged_requests, closing.usage_source
        is_refused = charged_requests == 1 and source == "none"
        is_unpriced = closing.priced is False and source != "none"
        counts = (1, charged_requests == 0, is_refused, source == "estimated", is_unpriced)
        self._add(record, closing.outcome, (*counts, *_charged(closing)))

    def add_correction(self, record: Record, correction: Correction) -> None:
        """What came too late, in the total of its reservation."""
        self._add(record, _EXPIRED, (*counts_of(correction), *_charged(correction)))

    def hours(self) -> Iterator[tuple[object, ...]]:
        """Rows of `usage_hours` to add, in the order of their keys, in which all processes lock them."""
        return self._rows(HOUR_MS)

    def days(self) -> Iterator[tuple[object, ...]]:
        """Rows of `usage_days`, likewise."""
        return self._rows(DAY_MS)

    def _add(self, record: Record, outcome: str, sums: Sequence[int]) -> None:
        party = record.party
        place = _Place._make(
            (party.key_id, party.user_id, party.team_id or "", party.model, *record.asked, outcome, party.account)
        )
        key = (record.reserved_at_ms // HOUR_MS * HOUR_MS, place)
        found = self._hours.get(key)
        self._hours[key] = sums if found is None else _plus(found, sums)

    def _rows(self, length_ms: int) -> Iterator[tuple[object, ...]]:
        found: dict[tuple[int, _Place], Sequence[int]] = {}
        for (start_ms, place), sums in self._hours.items():
            key = (start_ms // length_ms * length_ms, place)
            there = found.get(key)
            found[key] = sums if there is None else _plus(there, sums)
        for (start_ms, place), sums in sorted(found.items()):
            yield (start_ms, *place, *map(int, sums))


def _charged(of: Closing | Correction) -> tuple[int, ...]:
    return (
        *(of.charged_requests, of.charged_images, of.charged_tokens, of.charged_nanousd),
        *(of.input_text_tokens or 0, of.input_image_tokens or 0, of.output_text_tokens or 0),
        of.output_image_tokens or 0,
    )


def _plus(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [mine + more for mine, more in zip(one, other, strict=True)]
