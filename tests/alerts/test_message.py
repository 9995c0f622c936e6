"""What a webhook is sent: fields, ids, signatures, and the times of further tries."""

import base64
import hmac
import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.message import TRIES_MAX, body_of, event_id, headers_of, seconds_until_next_try
from app.alerts.outbox import DueEvent
from app.database.clock import to_ms
from app.quotas.rules.thresholds import NamedThresholdEvent, ThresholdEvent
from tests.quotas.making import NOON

CROSSING = ThresholdEvent(
    *("user", "user_9c1f", "usd", "month", "openai/gpt-image-2", to_ms(datetime(2026, 11, 1, tzinfo=NOON.tzinfo))),
    *(80, 5 * 10**9, 4_120_000_000, False, to_ms(NOON), to_ms(NOON)),
)


def due(threshold_event: ThresholdEvent = CROSSING, *, id_: int = 7, tries: int = 1, name: str = "alice") -> DueEvent:
    return DueEvent(id_, tries, NamedThresholdEvent(threshold_event, name))


def test_the_whole_event() -> None:
    assert json.loads(body_of(due())) == {
        "id": event_id(due()),
        "type": "limit.threshold_crossed",
        "created_at": "2026-11-24T12:00:30+00:00",
        "text": "user alice has reached 80 % of the limit usd:5.00/month@openai/gpt-image-2: $4.12 of $5.00 used. "
        "It resets at 2026-12-01 00:00 UTC.",
        "data": {
            "limit": "usd:5.00/month@openai/gpt-image-2",
            "scope": "user",
            "scope_id": "user_9c1f",
            "scope_name": "alice",
            "unit": "usd",
            "window": "month",
            "model": "openai/gpt-image-2",
            "shadow": False,
            "percent": 80,
            "amount": "5.00",
            "used": "4.12",
            "resets_at": "2026-12-01T00:00:00+00:00",
        },
    }


def test_a_shadow_total_of_the_whole_gateway_in_words() -> None:
    threshold_event = CROSSING._replace(
        scope="gateway", scope_id="", unit="images", window="total", model="", shadow=True
    )
    text = json.loads(body_of(due(threshold_event._replace(window_start_ms=0, amount=1, used=1), name="gateway")))[
        "text"
    ]
    assert text == (
        "gateway has reached 80 % of the shadow limit images:1/total: 1 image of 1 image used. It does not reset."
    )


class TestId:
    def test_every_try_of_an_event_has_the_same(self) -> None:
        retried = CROSSING._replace(next_try_at_ms=to_ms(NOON) + 10_000)
        assert event_id(due()) == event_id(due(retried, tries=3))
        assert body_of(due()) == body_of(due(retried, tries=3))

    def test_every_other_event_has_another(self) -> None:
        fields = list(CROSSING)
        changed = [ThresholdEvent._make([*fields[:place], 1, *fields[place + 1 :]]) for place in range(len(fields) - 1)]
        others = [due(id_=8), *(due(threshold_event) for threshold_event in changed)]
        assert len({event_id(event) for event in (due(), *others)}) == len(others) + 1


NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=NOON.tzinfo)  # 1700000000


def signature(body: bytes, secret: bytes, signed_at: datetime) -> str:
    return headers_of(due(), body, secret, signed_at)["webhook-signature"]


def test_headers_are_those_of_standard_webhooks() -> None:
    headers = headers_of(due(), b"{}", b"secret", NOW)
    assert headers["webhook-id"] == event_id(due())
    assert headers["webhook-timestamp"] == "1700000000"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("zenmux-gateway/")


def test_the_signature_is_what_openssl_makes() -> None:
    """printf '<webhook-id>.1700000000.{}' | openssl dgst -sha256 -hmac secret -binary | base64"""
    signed = f"{event_id(due())}.1700000000.{{}}".encode()
    expected = base64.b64encode(hmac.digest(b"secret", signed, "sha256")).decode()
    assert signature(b"{}", b"secret", NOW) == f"v1,{expected}"


LATER = NOW + timedelta(seconds=1)


@pytest.mark.parametrize("other", [(b"{ }", b"secret", NOW), (b"{}", b"Secret", NOW), (b"{}", b"secret", LATER)])
def test_body_secret_and_time_are_all_signed(other: tuple[bytes, bytes, datetime]) -> None:
    assert signature(b"{}", b"secret", NOW) != signature(*other)


@given(jitter=st.floats(0, 1, exclude_max=True))
def test_ten_tries_take_about_a_day(jitter: float) -> None:
    waits = [seconds_until_next_try(tries, jitter) for tries in range(1, TRIES_MAX + 1)]
    assert waits[-1] is None
    times = [wait for wait in waits if wait is not None]
    assert len(times) == TRIES_MAX - 1 == 9
    assert 5 <= times[0] <= 10
    assert times == sorted(times)
    assert 13 * 3600 <= sum(times) <= 28 * 3600
