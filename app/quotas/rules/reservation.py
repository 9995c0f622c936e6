"""The life of a reservation: what it holds, which states it may have, what closes it. Pure values."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from app.images.cost.usage import Usage


class Amounts(NamedTuple):
    """What a request takes from its limits, in each unit. Money is nano-USD."""

    requests: int = 0
    images: int = 0
    tokens: int = 0
    nanousd: int = 0


class State(StrEnum):
    """A reservation is pending, then exactly one of the others for ever: only what is pending is closed."""

    PENDING = "pending"
    SETTLED = "settled"  # charged what was used, the estimate, or one request that was refused
    RELEASED = "released"  # charged nothing: proof that nothing was bought
    EXPIRED = "expired"  # closed by the sweep: charged the hold if it was dispatched, else nothing


PENDING = State.PENDING.value
"""As rows contain it. Members are slow to look up in Python 3.11."""


class UsageSource(StrEnum):
    """The source of the charged amounts."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    NONE = "none"


class Resolution(StrEnum):
    """The result of a settle, release or expire."""

    DONE = "done"
    SPOOLED = "spooled"  # the store is away: it is kept on disk, and written when the store is back
    CORRECTED = "corrected"  # it had expired: its one correction has what came too late
    ALREADY_RESOLVED = "already_resolved"  # a no-op, and a bug: the caller logs it
    UNKNOWN = "unknown"  # no such reservation: a bug


class Hold(NamedTuple):
    """What `reserve` takes: who asks for what, of which ZenMux account, and its worst case. `input_images` and
    `received_bytes` are of an edit. `fingerprint` is equal in equal requests.

    `is_dispatched`: a connection waits, so the request is sent as soon as the hold is taken. It counts as dispatched
    from the start, and needs no second transaction.
    """

    id: str
    key_id: str
    user_id: str
    team_id: str | None
    operation: str
    model: str
    size: str
    quality: str
    streamed: bool
    amounts: Amounts
    reserved_at: datetime
    expires_at: datetime
    is_dispatched: bool = False
    input_images: int = 0
    received_bytes: int = 0
    account: str = "main"
    fingerprint: str | None = None


class Settlement(NamedTuple):
    """How a reservation ends: what is charged, why, and what was observed.

    A release charges `Amounts()`, with `usage_source` NONE. A request that was sent and refused is settled, with the
    same source and `Amounts(requests=1)`. `priced` is False if the catalog has no price; `charged.nanousd` is then the
    configured maximum.
    """

    state: State
    outcome: str
    usage_source: UsageSource
    charged: Amounts
    usage: Usage | None
    priced: bool
    client_left: bool
    upstream_status: int | None
    upstream_request_id: str | None
    first_byte_ms: int | None
    duration_ms: int
    resolved_at: datetime


NOTHING = Amounts()
AMOUNT_MAX = 2**47
"""The most for one request: 140,000 dollars in nano-USD. A sum may reach 2^62, which is thirty thousand such
requests.
"""

ONE_REQUEST = Amounts(requests=1)
"""The charge of a request that was sent and refused."""


class Corrected(NamedTuple):
    """What is reported of a correction. `passed`: scope and unit of each limit that the correction raised above its
    amount.
    """

    reservation_id: str
    delta: Amounts
    passed: tuple[tuple[str, str], ...]
