"""One JSON form each, whoever asks."""

from datetime import datetime

from app.admin.views import LimitStatusView, LimitView, iso, limit_status_json, written_limit
from app.quotas.reports.limit_status import LimitStatus
from app.quotas.rules.limits import Scope, parse_limit
from tests.admin.conftest import NOW


def test_moments_are_written_in_utc() -> None:
    assert iso(datetime.fromisoformat("2026-11-24T10:30:00.5+01:00")) == "2026-11-24T09:30:00Z"
    assert iso(None) is None


def test_limits_for_people() -> None:
    assert written_limit(parse_limit("images:5/day").on(Scope.GATEWAY, shadow=True)) == "images:5/day (shadow)"


def test_a_limit_has_the_money_it_allows_twice_and_exact() -> None:
    view = LimitView(1, parse_limit("usd:0.0412/day").on(Scope.USER, "user_1"), "alice").as_json()
    assert (view["amount_usd"], view["amount_nanousd"], view["name"]) == ("0.0412", 41_200_000, "alice")
    assert LimitView(1, parse_limit("images:3/day").on(Scope.GATEWAY), None).as_json()["amount"] == 3


def test_the_status_of_a_limit_is_the_same_for_its_caller_and_for_the_operator() -> None:
    status = LimitStatus(parse_limit("usd:5/month").on(Scope.USER, "user_1"), 1_250_000_000, 250_000_000, NOW)
    assert LimitStatusView(status, "alice").as_json() == limit_status_json(status)
    assert limit_status_json(status) == {
        "limit": "usd:5.00/month",
        "scope": "user",
        "unit": "usd",
        "window": "month",
        "model": None,
        "shadow": False,
        "amount": "5.00",
        "used": "1.25",
        "pending": "0.25",
        "left": "3.75",
        "used_ratio": 0.25,
        "resets_at": "2026-11-24T09:30:00+00:00",
        "raised_until": None,
    }
