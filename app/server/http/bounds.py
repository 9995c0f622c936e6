"""How much of a connection a caller may take, how long, and what the server asks of the app. Declarations only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.responses import PlainTextResponse, Response

from app.configuration.configuration import ConfigurationState
from app.errors import GatewayError
from app.settings.settings import Settings

HOOKS = "server_hooks"  # their place in the state that the app's lifespan gives to the server


class Fault(StrEnum):
    """Why a connection was refused or ended. A closed set: it is a metric's label."""

    MALFORMED = "malformed"  # not HTTP/1.1
    HEAD_TOO_LARGE = "head_too_large"
    TRAILERS_TOO_LARGE = "trailers_too_large"
    HEAD_LATE = "head_late"
    BODY_IDLE = "body_idle"
    BODY_SLOW = "body_slow"
    BODY_LATE = "body_late"
    ANSWER_STALLED = "answer_stalled"
    TOO_MANY = "too_many"
    NO_DESCRIPTORS = "no_descriptors"  # new connections are lost unseen, for about this many seconds


@dataclass(frozen=True, slots=True)
class Bounds:
    """The operator's choices. The idle time is longer than that of load balancers and SDKs. If the server closed a
    connection just as a request comes in, the client could not safely retry.
    """

    head_seconds: float = 30
    body_idle_seconds: float = 30
    body_bytes_per_second_min: int = 1024
    body_seconds_max: float = 900
    stall_seconds: float = 120
    connections_max: int = 3000
    idle_seconds: float = 75

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """The bounds that the settings ask for."""
        return cls(
            head_seconds=settings.head_seconds,
            body_idle_seconds=settings.body_idle_seconds,
            body_bytes_per_second_min=settings.body_bytes_per_second_min,
            body_seconds_max=settings.body_seconds_max,
            stall_seconds=settings.client_stall_seconds,
            connections_max=settings.capacity.connections_max,
        )


def _answer_plainly(error: GatewayError) -> Response:
    return PlainTextResponse(error.message, 400)


def _ignore(_: object) -> None:
    pass


def _drain_nothing() -> float | None:
    return None


def _use_nothing(_: ConfigurationState) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the server asks of the app: `answer` makes the answer to a request that no app sees, `count` counts a
    fault, `show_open` gets the number of open connections. `drain` is called once, when the server begins to stop: the
    app refuses new requests from then on, and returns within how many seconds every running one has ended by itself;
    None: it does not know. `use` makes the app work with another configuration, and returns that one's hash.
    `offer_reload` gives the app what has the configuration read again, soon: for use, or (True) as a trial, which comes
    to `use` too."""

    answer: Callable[[GatewayError], Response] = field(default=_answer_plainly)
    count: Callable[[Fault], None] = field(default=_ignore)
    show_open: Callable[[int], None] = field(default=_ignore)
    drain: Callable[[], float | None] = field(default=_drain_nothing)
    use: Callable[[ConfigurationState], str] = field(default=_use_nothing)
    offer_reload: Callable[[Callable[[bool], None]], None] = field(default=_ignore)
