"""What a batch adds to the totals of hours and days, added up first, so that each total is written once. Pure: store.py
writes them. The audit proves that they equal the sums of the reservations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.quotas.ledger.corrections import Correction, counts_of
from app.quotas.ledger.rows import Closing, Record
from app.quotas.rules.reservation import State
from app.quotas.rules.windows import DAY_MS, HOUR_MS

_EXPIRED = State.EXPIRED.value

_Key = tuple[Any, ...]
"""The start of an hour or day and the words of its total, in the order of TOTAL_WORDS."""


@dataclass(slots=True)
class Totals:
    """What one transaction resolves and corrects, by hour and words. It is added up at the end, all of one total at
    once: that costs a third of adding one by one.
    """

    _closed: dict[_Key, list[Closing]] = field(default_factory=dict)  # by hour
    _corrected: list[tuple[_Key, Correction]] = field(default_factory=list)

    def add_closing(self, record: Record, closing: Closing) -> None:
        """A reservation that was resolved."""
        self._closed.setdefault(_hour_of(record, closing.outcome), []).append(closing)

    def add_correction(self, record: Record, correction: Correction) -> None:
        """What came too late, in the total of its reservation."""
        self._corrected.append((_hour_of(record, _EXPIRED), correction))

    def rows(self) -> tuple[list[_Key], list[_Key]]:
        """Rows of `usage_hours` and of `usage_days` to add, no key twice."""
        hours: dict[_Key, Sequence[int]] = {}
        for hour, closings in self._closed.items():
            hours[hour] = [sum(column) for column in zip(*map(_sums_of, closings), strict=True)]
        for hour, correction in self._corrected:
            _add(hours, hour, (*counts_of(correction), *_charged(correction)))
        days: dict[_Key, Sequence[int]] = {}
        for (start_ms, *words), sums in hours.items():
            _add(days, (start_ms // DAY_MS * DAY_MS, *words), sums)
        return _rows(hours), _rows(days)


def _hour_of(record: Record, outcome: str) -> _Key:
    key_id, user_id, team_id, model, account = record.party
    start_ms = record.reserved_at_ms // HOUR_MS * HOUR_MS
    return (start_ms, key_id, user_id, team_id or "", model, *record.asked, outcome, account)


def _sums_of(closing: Closing) -> tuple[int, ...]:
    """In the order of TOTAL_SUMS. Columns are faster to unpack than to name, and this runs for every request."""
    _, _, _, source, requests, images, tokens, nanousd, priced, *usage = closing[:13]
    text_in, images_in, text_out, images_out = usage
    return (
        1,
        int(requests == 0),
        int(requests == 1 and source == "none"),
        int(source == "estimated"),
        int(priced is False and source != "none"),
        *(requests, images, tokens, nanousd),
        *(text_in or 0, images_in or 0, text_out or 0, images_out or 0),
    )


def _charged(of: Correction) -> tuple[int, ...]:
    return (
        *(of.charged_requests, of.charged_images, of.charged_tokens, of.charged_nanousd),
        *(of.input_text_tokens or 0, of.input_image_tokens or 0, of.output_text_tokens or 0),
        of.output_image_tokens or 0,
    )


def _add(totals: dict[_Key, Sequence[int]], key: _Key, sums: Sequence[int]) -> None:
    found = totals.get(key)
    totals[key] = sums if found is None else [mine + more for mine, more in zip(found, sums, strict=True)]


def _rows(totals: dict[_Key, Sequence[int]]) -> list[_Key]:
    return [(*key, *sums) for key, sums in totals.items()]
