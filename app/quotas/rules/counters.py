"""What a counter counts and how a reservation changes it. Pure; store.py keeps counters."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from app.quotas.rules.limits import Unit
from app.quotas.rules.reservation import Amounts

_TAKEN = {
    Unit.REQUESTS: "requests",
    Unit.IMAGES: "images",
    Unit.TOKENS: "tokens",
    Unit.USD: "nanousd",
    Unit.CONCURRENT: "requests",
}
_AMOUNT: dict[Unit, Callable[[Amounts], int]] = {unit: attrgetter(name) for unit, name in _TAKEN.items()}


class CounterKey(NamedTuple):
    """Whose usage, of which model ('': any), in which window. Counters are locked in the order of their keys."""

    scope: str
    scope_id: str
    model: str
    window: str
    window_start_ms: int


@dataclass(slots=True)
class Counter:
    """Usage in one window: what is settled, and what pending reservations hold. Money is nano-USD."""

    settled_requests: int = 0
    settled_images: int = 0
    settled_tokens: int = 0
    settled_nanousd: int = 0
    pending_requests: int = 0
    pending_images: int = 0
    pending_tokens: int = 0
    pending_nanousd: int = 0

    def hold(self, held: Amounts) -> None:
        """Adds the hold of a new reservation."""
        requests, images, tokens, nanousd = held
        self.pending_requests += requests
        self.pending_images += images
        self.pending_tokens += tokens
        self.pending_nanousd += nanousd

    def resolve(self, held: Amounts, charged: Amounts) -> None:
        """Moves a reservation that ended: removes its hold, adds its charge."""
        requests, images, tokens, nanousd = held
        self.pending_requests -= requests
        self.pending_images -= images
        self.pending_tokens -= tokens
        self.pending_nanousd -= nanousd
        requests, images, tokens, nanousd = charged
        self.settled_requests += requests
        self.settled_images += images
        self.settled_tokens += tokens
        self.settled_nanousd += nanousd

    def settled(self, unit: Unit) -> int:
        """The charged amount, as a limit of `unit` counts it. Settled requests are never concurrent."""
        return _SETTLED[unit](self)

    def pending(self, unit: Unit) -> int:
        """The held amount, as a limit of `unit` counts it."""
        return _PENDING[unit](self)


def amount_of(amounts: Amounts, unit: Unit) -> int:
    """What a request takes from a limit of `unit`."""
    return _AMOUNT[unit](amounts)


_PENDING: dict[Unit, Callable[[Counter], int]] = {unit: attrgetter(f"pending_{name}") for unit, name in _TAKEN.items()}
_SETTLED: dict[Unit, Callable[[Counter], int]] = {
    unit: attrgetter(f"settled_{name}") for unit, name in _TAKEN.items() if unit is not Unit.CONCURRENT
} | {Unit.CONCURRENT: lambda _: 0}
