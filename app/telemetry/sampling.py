"""Which of many similar lines are written: so many per second; the others are counted."""


class Sampler:
    """Admits `per_second` lines in each second. A second begins with its first line."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second_ends_at = 0.0
        self._admitted = 0
        self._left_out = 0

    def admit(self, now: float) -> bool:
        """Whether this line is to be written. `now` is a monotonic clock's."""
        if now >= self._second_ends_at:
            self._second_ends_at, self._admitted = now + 1, 0
        if self._admitted >= self._per_second:
            self._left_out += 1
            return False
        self._admitted += 1
        return True

    @property
    def left_out(self) -> int:
        return self._left_out

    def take_left_out(self) -> int:
        """How many were left out since the last call. Resets the number."""
        left_out, self._left_out = self._left_out, 0
        return left_out
