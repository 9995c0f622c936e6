"""What the schemas of answers take and refuse; that real answers fit them is shown by tests/e2e/test_openapi.py."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from jsonschema_rs import Draft202012Validator

from app.admin.views import limit_status_json
from app.api.error_responses import error_event
from app.api.openapi.schemas import ref, schema_components
from app.errors import UpstreamBroken
from app.quotas.reports.limit_status import LimitStatus
from app.quotas.rules.limits import Scope, parse_limit


def is_valid(name: str, value: Any) -> bool:
    return Draft202012Validator({**ref(name), "components": {"schemas": schema_components()}}).is_valid(value)


def test_the_event_that_ends_a_stream_is_told_of() -> None:
    event = error_event(UpstreamBroken("ZenMux's answer ended.", "incomplete"), lambda _: b"")
    data = orjson.loads(event.partition(b"data: ")[2])
    assert is_valid("ImageStreamEvent", data)
    assert not is_valid("ImageStreamEvent", {"type": "error"})
    assert not is_valid("ImageStreamEvent", {"type": "image_generation.completed"})


@pytest.mark.parametrize(
    "written", ["images:100/day", "usd:5.50/month@openai/gpt-image-2", "concurrent:3", "tokens:0/total"]
)
@pytest.mark.parametrize("used", [0, 7, 123_456_789_012])
def test_the_status_of_every_kind_of_limit_fits(written: str, used: int) -> None:
    limit = parse_limit(written).on(Scope.KEY, "abc")
    status = LimitStatus(limit, used, 1, datetime(2026, 11, 25, tzinfo=UTC))
    assert is_valid("LimitStatus", limit_status_json(status))
    told = limit_status_json(status) | dict.fromkeys(("amount", "used", "pending", "left"))
    assert is_valid("LimitStatus", told)
    assert not is_valid("LimitStatus", told | {"unit": "wishes"})


def test_an_error_needs_all_four_keys() -> None:
    error: dict[str, Any] = {"message": "m", "type": "server_error", "param": None, "code": None}
    assert is_valid("ErrorResponse", {"error": error})
    for name in error:
        assert not is_valid("ErrorResponse", {"error": {key: value for key, value in error.items() if key != name}})
