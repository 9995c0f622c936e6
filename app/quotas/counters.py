"""What a counter counts and how a reservation moves it. Pure: where counters are kept is statements.py's business."""

from dataclasses import dataclass
from typing import NamedTuple

from app.database.clock import from_ms, to_ms
from app.quotas.limits import Unit, Window
from app.quotas.reservation import Amounts
from app.quotas.windows import window_end, window_start


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
        match unit:
            case Unit.REQUESTS:
                return self.settled_requests
            case Unit.IMAGES:
                return self.settled_images
            case Unit.TOKENS:
                return self.settled_tokens
            case Unit.USD:
                return self.settled_nanousd
            case Unit.CONCURRENT:
                return 0

    def pending(self, unit: Unit) -> int:
        """What is held, as a limit of `unit` counts it."""
        match unit:
            case Unit.REQUESTS | Unit.CONCURRENT:
                return self.pending_requests
            case Unit.IMAGES:
                return self.pending_images
            case Unit.TOKENS:
                return self.pending_tokens
            case Unit.USD:
                return self.pending_nanousd


def amount_of(amounts: Amounts, unit: Unit) -> int:
    """What a request takes of a limit of `unit`."""
    match unit:
        case Unit.REQUESTS | Unit.CONCURRENT:
            return amounts.requests
        case Unit.IMAGES:
            return amounts.images
        case Unit.TOKENS:
            return amounts.tokens
        case Unit.USD:
            return amounts.nanousd


FOREVER_MS = 2**63 - 1


class Calendar:
    """The windows' starts in milliseconds; remembers each window's last one, because moments come in crowds."""

    def __init__(self) -> None:
        self._last: dict[Window, tuple[int, int]] = {}

    def start_ms(self, window: Window, at_ms: int) -> int:
        """When the window that `at_ms` is in began."""
        start, end = self._last.get(window, (0, 0))
        if not start <= at_ms < end:
            start, end = span_ms(window, at_ms)
            self._last[window] = start, end
        return start


def span_ms(window: Window, at_ms: int) -> tuple[int, int]:
    """Start and end of the window that `at_ms` is in; `total` ends at FOREVER_MS."""
    moment = from_ms(at_ms)
    end = window_end(window, moment)
    return to_ms(window_start(window, moment)), FOREVER_MS if end is None else to_ms(end)
