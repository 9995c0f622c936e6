"""How many files and connections a process may have open, and what follows for requests and connections at a time."""

import resource
from dataclasses import dataclass

REQUESTS_IN_FLIGHT = 5000
"""The most requests at a time unless GATEWAY_REQUESTS_IN_FLIGHT_MAX says otherwise: more need a look at the memory."""

PER_REQUEST = 3
"""Descriptors of one request: its caller's connection, the one to ZenMux, and a file (an upload, or a kept answer)."""

_RESERVED = 96  # the database, the log, the listener, the spool, callers that are being refused
_BETWEEN_REQUESTS = 1000  # callers' connections that wait for their next request
_CONNECTIONS_MIN = 16
_WHERE_UNLIMITED = 10_240  # macOS has no hard limit, and grants this much


def allowed() -> int:
    """How many descriptors this process may have once `raise_limit` was called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft, _WHERE_UNLIMITED) if hard == resource.RLIM_INFINITY else hard


def raise_limit() -> None:
    """Raises the soft limit of descriptors as far as allowed, which needs no privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != (wanted := allowed()):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one process takes at a time. The first three have the names of their settings; `advice` is what the operator
    must know of them, None if all is well.
    """

    requests_in_flight_max: int
    upstream_connections_max: int
    connections_max: int
    descriptors: int
    advice: str | None = None


def capacity(descriptors: int, in_flight: int | None, upstream: int | None, connections: int | None) -> Capacity:
    """What so many descriptors allow. The others are the operator's choices; None follows the descriptors.

    Callers never get the descriptors that their requests need: where there are too few for the chosen numbers, the
    gateway itself refuses connections, in words.
    """
    room = max(0, descriptors - _RESERVED)
    between = min(_BETWEEN_REQUESTS, room // 4)
    requests = in_flight or max(1, min(REQUESTS_IN_FLIGHT, (room - between) // PER_REQUEST))
    wished = connections or _BETWEEN_REQUESTS + 2 * requests
    fitting = max(_CONNECTIONS_MIN, room - (PER_REQUEST - 1) * min(requests, room // PER_REQUEST))
    faults = []
    if in_flight and room < PER_REQUEST * in_flight:
        needed = _RESERVED + PER_REQUEST * in_flight
        faults.append(f"{in_flight} requests in flight (GATEWAY_REQUESTS_IN_FLIGHT_MAX) need {needed}")
    if connections and fitting < connections:
        faults.append(f"{fitting} connections of callers fit, not {connections} (GATEWAY_CONNECTIONS_MAX)")
    advice = (
        f"This process may open {descriptors} files and connections: {'; '.join(faults)}. Raise the limit "
        "(LimitNOFILE= of systemd, ulimits of Docker, ulimit -n), or lower the setting."
    )
    return Capacity(requests, upstream or requests, min(wished, fitting), descriptors, advice if faults else None)
