"""What a counter counts and how a reservation moves it. Pure: where counters are kept is statements.py's business."""

from dataclasses import dataclass
from typing import NamedTuple

from app.quotas.limits import Unit
from app.quotas.reservation import Amounts

_TAKEN = {
    Unit.REQUESTS: "requests",
    Unit.IMAGES: "images",
    Unit.TOKENS: "tokens",
    Unit.USD: "nanousd",
    Unit.CONCURRENT: "requests",
}
_PENDING = {unit: f"pending_{name}" for unit, name in _TAKEN.items()}
_SETTLED = {unit: f"settled_{name}" for unit, name in _TAKEN.items() if unit is not Unit.CONCURRENT}


class CounterKey(NamedTuple):
    """Whose use, of which model ('': any), in which window. Its order is the order in which counters are locked."""

    scope: str
    scope_id: str
    model: str
    window: str
    window_start_ms: int


@dataclass(slots=True)
class Counter:
    """Use in one window: what is settled and what pending reservations hold. Money is nano-USD."""

    settled_requests: int = 0
    settled_images: int = 0
    settled_tokens: int = 0
    settled_nanousd: int = 0
    pending_requests: int = 0
    pending_images: int = 0
    pending_tokens: int = 0
    pending_nanousd: int = 0

    def hold(self, held: Amounts) -> None:
        """A reservation began."""
        self.pending_requests += held.requests
        self.pending_images += held.images
        self.pending_tokens += held.tokens
        self.pending_nanousd += held.nanousd

    def resolve(self, held: Amounts, charged: Amounts) -> None:
        """A reservation ended: what it held is free again, what it cost stays."""
        self.pending_requests -= held.requests
        self.pending_images -= held.images
        self.pending_tokens -= held.tokens
        self.pending_nanousd -= held.nanousd
        self.settled_requests += charged.requests
        self.settled_images += charged.images
        self.settled_tokens += charged.tokens
        self.settled_nanousd += charged.nanousd

    def settled(self, unit: Unit) -> int:
        """What was charged, as a limit of `unit` counts it; nothing that has ended is concurrent."""
        amount: int = getattr(self, _SETTLED[unit]) if unit in _SETTLED else 0
        return amount

    def pending(self, unit: Unit) -> int:
        """What is held, as a limit of `unit` counts it."""
        amount: int = getattr(self, _PENDING[unit])
        return amount


def amount_of(amounts: Amounts, unit: Unit) -> int:
    """What a request takes of a limit of `unit`."""
    amount: int = getattr(amounts, _TAKEN[unit])
    return amount
