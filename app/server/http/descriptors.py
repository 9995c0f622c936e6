"""How many files and connections this process may have open: raised as far as allowed, and divided up."""

import resource
from dataclasses import dataclass

_RESERVED = 96  # the database, the log, the listener, the spool, callers that are being refused
_CONNECTIONS_MIN = 16


def raise_limit() -> int:
    """Raises the soft limit of descriptors to the hard one, which needs no privilege. Returns the limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS accepts no infinite limit
        return soft
    return hard


@dataclass(frozen=True, slots=True)
class Division:
    """What `descriptors` allow for `in_flight` requests, each with a connection to ZenMux, and the wanted number of
    callers' `connections`. A negative number of descriptors means no limit.
    """

    descriptors: int
    in_flight: int
    connections: int

    @property
    def connections_max(self) -> int:
        """The most callers' connections that can be accepted, so that the gateway itself can refuse further ones."""
        if self.descriptors < 0:
            return self.connections
        rest = self.descriptors - _RESERVED - min(self.in_flight, (self.descriptors - _RESERVED) // 2)
        return max(_CONNECTIONS_MIN, min(self.connections, rest))

    def advice(self) -> str | None:
        """What the operator must know; None if all is well."""
        needed = _RESERVED + 2 * self.in_flight
        if 0 <= self.descriptors < needed:
            return (
                f"This process may open {self.descriptors} files and connections, but {self.in_flight} requests in "
                f"flight (GATEWAY_REQUESTS_IN_FLIGHT_MAX) need {needed}. Raise the limit (LimitNOFILE= of systemd, "
                f"ulimits of Docker, ulimit -n), or lower the setting."
            )
        return None
