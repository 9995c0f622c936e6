"""What one process has counted and not yet written. Pure: keeper.py writes it. Bounded, because the database may be
away for long.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from app.database.clock import to_ms
from app.quotas.rules.windows import HOUR_MS

OTHER = "other"
"""The user and key under which refusals are counted when too many different ones wait to be written."""

PLACES_MAX = 10_000


class RefusalPlace(NamedTuple):
    """What one number counts, in the order of the table's key. '': a caller whose key is not known."""

    hour_start_ms: int
    user_id: str
    key_id: str
    code: str


class RefusalCounts:
    """Past `places_max` different places, new ones are counted under OTHER; past twice as many, they are lost."""

    def __init__(self, places_max: int = PLACES_MAX) -> None:
        self._counts: dict[RefusalPlace, int] = {}
        self._places_max = places_max
        self._lost = 0

    def count(self, at: datetime, user_id: str, key_id: str, code: str) -> None:
        """One more refusal."""
        self._add(RefusalPlace(to_ms(at) // HOUR_MS * HOUR_MS, user_id, key_id, code), 1)

    def take(self) -> dict[RefusalPlace, int]:
        """Everything that was counted; from now on nothing is. Put it back if it cannot be written."""
        taken, self._counts = self._counts, {}
        return taken

    def put_back(self, taken: Mapping[RefusalPlace, int]) -> None:
        """Counts again what could not be written."""
        for place, number in taken.items():
            self._add(place, number)

    def take_lost(self) -> int:
        """How many had no place since this was last asked."""
        lost, self._lost = self._lost, 0
        return lost

    def _add(self, place: RefusalPlace, number: int) -> None:
        if place not in self._counts and len(self._counts) >= self._places_max:
            place = place._replace(user_id=OTHER, key_id=OTHER)
        if place not in self._counts and len(self._counts) >= 2 * self._places_max:
            self._lost += number
            return
        self._counts[place] = self._counts.get(place, 0) + number
