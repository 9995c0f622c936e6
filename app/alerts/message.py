"""What a webhook is sent: the event as JSON, its id, its signature, and the time of the next try. Pure."""

import hashlib
from datetime import datetime

import orjson
from standardwebhooks import Webhook

from app import __version__
from app.alerts.outbox import DueEvent
from app.database.clock import from_ms
from app.quotas.rules.limits import describe_amount
from app.quotas.rules.thresholds import describe_threshold_event

TRIES_MAX = 10

_TYPE = "limit.threshold_crossed"
# 10 s, 30 s, 90 s … 18 h: ten tries take about a day, and a receiver that only restarted is notified within the minute.
_WAIT_SECONDS = 10
_WAIT_FACTOR = 3


def event_id(event: DueEvent) -> str:
    """The same for every try of an event, and different for every other event, also of other gateways."""
    identity = "\n".join(str(part) for part in (event.id, *event.named_event.threshold_event[:-1]))
    return f"evt_{hashlib.sha256(identity.encode()).hexdigest()[:24]}"


def body_of(event: DueEvent) -> bytes:
    """The event as JSON: what docs/webhooks.md lists, no prompt, no image, no secret."""
    threshold_event = event.named_event.threshold_event
    data = describe_threshold_event(event.named_event)
    return orjson.dumps(
        {
            "id": event_id(event),
            "type": _TYPE,
            "created_at": from_ms(threshold_event.crossed_at_ms).isoformat(timespec="seconds"),
            "text": _text(event, str(data["limit"])),
            "data": data,
        }
    )


def headers_of(event: DueEvent, body: bytes, secret: bytes, signed_at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks for `body`. `secret` is the key itself, not base64 of it."""
    id_ = event_id(event)
    return {
        "content-type": "application/json",
        "user-agent": f"zenmux-gateway/{__version__}",
        "webhook-id": id_,
        "webhook-timestamp": str(int(signed_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, signed_at, body.decode()),
    }


def seconds_until_next_try(tries: int, jitter: float) -> float | None:
    """How long to wait after the try with this number failed; None: no further try. `jitter` is in [0, 1)."""
    if tries >= TRIES_MAX:
        return None
    return float(_WAIT_SECONDS * _WAIT_FACTOR ** (tries - 1)) * (1 + jitter) / 2


def _text(event: DueEvent, written: str) -> str:
    """The event for people, as a chat may show it."""
    threshold_event, name = event.named_event
    limit = threshold_event.limit
    whose = name if threshold_event.scope == name else f"{threshold_event.scope} {name}"
    used, amount = (
        describe_amount(limit.unit, threshold_event.used),
        describe_amount(limit.unit, threshold_event.amount),
    )
    reset = (
        f"resets at {threshold_event.resets_at:%Y-%m-%d %H:%M} UTC" if threshold_event.resets_at else "does not reset"
    )
    shadow = "shadow limit" if threshold_event.shadow else "limit"
    reached = f"{threshold_event.percent} % of the {shadow} {written}"
    return f"{whose} has reached {reached}: {used} of {amount} used. It {reset}."
