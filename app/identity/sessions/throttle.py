"""How often somebody may try to sign in: by address, and all together. Forgets the addresses that were quiet."""

from cachetools import LRUCache

PER_ADDRESS = 10
IN_TOTAL = 100
_SECONDS = 60.0
_ADDRESSES_MAX = 10_000


class Throttle:
    """Buckets that fill up again within a minute. For one event loop; `monotonic` seconds are given with each try."""

    def __init__(self, per_address: int = PER_ADDRESS, in_total: int = IN_TOTAL) -> None:
        self._per_address = per_address
        self._in_total = in_total
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(_ADDRESSES_MAX)
        self._all = (float(in_total), 0.0)

    def admit(self, address: str, now: float) -> bool:
        """Whether one more try from this address is heard."""
        mine, everyones = (
            _filled(self._buckets.get(address, (float(self._per_address), now)), self._per_address, now),
            _filled(self._all, self._in_total, now),
        )
        is_admitted = mine >= 1 and everyones >= 1
        self._buckets[address] = (mine - is_admitted, now)
        self._all = (everyones - is_admitted, now)
        return is_admitted


def _filled(bucket: tuple[float, float], size: int, now: float) -> float:
    left, at = bucket
    return min(float(size), left + max(0.0, now - at) * size / _SECONDS)
