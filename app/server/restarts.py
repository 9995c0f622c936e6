"""When a worker that ended is started again: at once after a long life, later and later after short ones."""

from dataclasses import dataclass

_GOOD_LIFE_SECONDS = 10.0
_FAILURES_MAX = 5
_DELAY_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Restarts:
    """The history of one worker slot: how many lives in a row were short."""

    first_delay_seconds: float = 0.5
    failures: int = 0

    def delay_seconds(self, lived_seconds: float | None) -> float:
        """How long to wait after a worker ended that served for so many seconds; None: it was never ready."""
        if lived_seconds is not None and lived_seconds >= _GOOD_LIFE_SECONDS:
            self.failures = 0
            return 0.0
        self.failures += 1
        if lived_seconds is not None and self.failures == 1:
            return 0.0
        return min(self.first_delay_seconds * 2.0 ** min(self.failures - 1, 10), _DELAY_SECONDS_MAX)

    @property
    def is_given_up(self) -> bool:
        """Whether so many lives were short that the gateway should end, unless another worker serves."""
        return self.failures >= _FAILURES_MAX
