"""One wide event per request: filled while the request runs, read once by the log line, the metrics and the spans.

Holds numbers, ids and closed words. No prompt, no image, no secret has a field here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from app.images.cost.usage import Usage

MOMENTS_MAX = 64


class Outcome(StrEnum):
    """How a request ended. A closed set: it is a metric's label."""

    COMPLETED = "completed"
    CLIENT_LEFT = "client_left"  # the answer was read to its end without its client
    UPSTREAM_REFUSED = "upstream_refused"  # ZenMux refused, and billed nothing
    UPSTREAM_FAILED = "upstream_failed"  # no whole answer came
    INTERRUPTED = "interrupted"  # this process stopped first
    REPLAYED = "replayed"  # answered with what another request bought
    REFUSED = "refused"  # a limit refused
    REJECTED = "rejected"  # the request itself was at fault
    UNAVAILABLE = "unavailable"  # the gateway could not serve it
    FAULT = "fault"  # a bug of ours


@dataclass(slots=True)
class Moments:
    """When each step of a request was, for its spans. Kept only where traces are made. `carrier` has the caller's
    traceparent."""

    monotonic: Callable[[], float]
    carrier: dict[str, str]
    at: dict[str, float] = field(default_factory=dict)
    happened: list[tuple[str, float, dict[str, int]]] = field(default_factory=list)

    def of_job(self) -> "Moments":
        """Those of the job that the request submits: it has the same parent, and steps of its own."""
        return Moments(self.monotonic, self.carrier)

    def note(self, name: str, **attributes: int) -> None:
        """Something that may happen several times. Bounded, because an upstream decides how often."""
        if len(self.happened) < MOMENTS_MAX:
            self.happened.append((name, self.monotonic(), attributes))


@dataclass(slots=True)
class RequestEvent:
    """What is known of one request so far. Times are seconds of a monotonic clock."""

    request_id: str
    path: str
    started_at: float
    operation: str | None = None  # None: not an image request
    model: str = "other"
    key_id: str | None = None
    user: str | None = None
    user_id: str | None = None
    team: str | None = None
    stream: bool | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    input_images: int = 0  # of an edit
    received_bytes: int = 0  # of its images
    changes: tuple[str, ...] = ()
    shadow_refusals: tuple[str, ...] = ()
    outcome: Outcome = Outcome.FAULT
    status: int | None = None
    error_code: str | None = None  # ours, as the caller sees it
    replay: str | None = None  # how it was answered with what another request bought
    replay_of: str | None = None  # that one's id
    refusal: str | None = None  # a closed word for the metric: why nothing was bought
    upstream_status: int | None = None
    upstream_request_id: str | None = None
    upstream_error: str | None = None
    upstream_reason: str | None = (
        None  # for operators: why ZenMux was not reached, or the title of an answer that is not its own
    )
    account: str | None = None  # the ZenMux account it went to
    left_accounts: tuple[tuple[str, str], ...] = ()  # kind and account of each failure that it moved on from
    is_reserved: bool = False  # a reservation was taken: from then on only the exchange says how the request ends
    state: str | None = None  # of the reservation, once there was one
    usage_source: str | None = None
    usage: Usage | None = None
    images: int = 0
    cost_nanousd: int | None = None
    held_nanousd: int | None = None
    unpriced: bool = False
    usage_implausible: Usage | None = None  # reported usage that was not believed
    dispatched_at: float | None = None
    first_byte_at: float | None = None
    ended_at: float | None = None
    sent_bytes: int = 0
    moments: Moments | None = None  # where traces are made
    trace_id: str | None = None

    def mark(self, name: str) -> None:
        """Where traces are made: this step is now."""
        if self.moments is not None:
            self.moments.at.setdefault(name, self.moments.monotonic())

    def seconds_until(self, moment: float | None) -> float | None:
        """Seconds from the request's arrival to `moment`; None if there was no such moment."""
        return None if moment is None else max(0.0, moment - self.started_at)
