"""Each error in OpenAI's words: status, code, retry headers; the one event that ends a stream."""

import json
from datetime import UTC, datetime

import pytest

from app import errors
from app.api.error_responses import error_event, error_response, wire_error
from app.errors import GatewayError
from app.images.catalog.entry import CatalogError
from app.setup.tree import SetupError

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
LIMIT = {"limit": "images:10/day", "scope": "key", "unit": "images"}

TABLE = [
    (errors.AuthenticationFailed("m"), 401, "invalid_request_error", "invalid_api_key", "false", None),
    (errors.ModelForbidden("m"), 403, "invalid_request_error", "model_not_allowed", None, None),
    (errors.ModelNotFound("m"), 404, "invalid_request_error", "model_not_found", None, None),
    (errors.InvalidRequest("m", param="n", code="c"), 400, "invalid_request_error", "c", None, None),
    (
        errors.InvalidRequest("m", param="size", code="c", kind="image_generation_user_error"),
        400,
        "image_generation_user_error",
        "c",
        None,
        None,
    ),
    (errors.MalformedHttp("m"), 400, "invalid_request_error", "invalid_http", None, None),
    (errors.HeadTooLarge("m"), 431, "invalid_request_error", "headers_too_large", None, None),
    (errors.RequestTooSlow("m"), 408, "invalid_request_error", "request_timeout", None, None),
    (errors.BodyTooLarge("m"), 413, "invalid_request_error", "request_too_large", None, None),
    (errors.UnsupportedContentType("m"), 415, "invalid_request_error", "unsupported_content_type", None, None),
    (errors.QuotaExceeded("m", **LIMIT, resets_at=MIDNIGHT), 429, *["insufficient_quota"] * 2, "false", None),
    (
        errors.RateLimited("m", **LIMIT, retry_after_seconds=600),
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        None,
        "60",
    ),
    (errors.IdempotencyInProgress("m"), 409, "invalid_request_error", "idempotency_in_progress", None, "10"),
    (errors.IdempotencyKeyReused("m"), 422, "invalid_request_error", "idempotency_key_reuse", "false", None),
    (errors.AnswerLost("m"), 410, "invalid_request_error", "answer_lost", "false", None),
    (errors.StoreUnavailable("m"), 503, "server_error", "store_unavailable", None, "5"),
    (errors.NotFound("m"), 404, "invalid_request_error", "not_found", None, None),
    (errors.Conflict("m"), 409, "invalid_request_error", "conflict", None, None),
    (errors.InvalidValue("m"), 400, "invalid_request_error", "invalid_value", None, None),
    (errors.NotPermitted("m"), 403, "invalid_request_error", "not_permitted", None, None),
    (errors.ChangedMeanwhile("m"), 412, "invalid_request_error", "changed_meanwhile", None, None),
    (errors.ConfigurationError("m"), 409, "invalid_request_error", "configuration_error", None, None),
    (errors.RemoteFailure("m"), 502, "upstream_error", "remote_failure", None, None),
    (errors.JobNotFound("m"), 404, "invalid_request_error", "job_not_found", None, None),
    (errors.JobWithoutAnswer("m"), 410, "invalid_request_error", "job_without_answer", "false", None),
    (errors.FileGone("m"), 410, "invalid_request_error", "file_gone", None, None),
    (errors.FilesUnavailable("m"), 503, "server_error", "files_unavailable", None, "5"),
    (errors.UploadsFull("m"), 503, "server_error", "uploads_full", None, "5"),
    (errors.Overloaded("m"), 503, "server_error", "server_is_overloaded", None, "5"),
    (errors.NoAccountUp("m", "rate_limit", 90), 503, "upstream_error", "no_account_available", None, "60"),
    (errors.NoAccountUp("m", "credit", None), 503, "upstream_error", "upstream_account_fault", "false", None),
    (errors.Draining("m"), 503, "server_error", "server_is_stopping", None, "5"),
    (errors.Interrupted("m"), 503, "server_error", "server_is_stopping", "false", None),
    (errors.UpstreamUnreachable("m", "connect"), 502, "upstream_error", "upstream_unreachable", None, None),
    (errors.UpstreamTimeout("m", "silence"), 504, "upstream_error", "upstream_timeout", "false", None),
    (errors.UpstreamBroken("m", "dropped"), 502, "upstream_error", "upstream_broken", "false", None),
    (errors.UpstreamAccountFault("m", "credit"), 503, "upstream_error", "upstream_account_fault", "false", None),
    (
        errors.UpstreamRefused("m", "rate", billed=False, status=429, code="x", retryable=True, retry_after_seconds=90),
        429,
        "upstream_error",
        "x",
        None,
        "60",
    ),
    (errors.UpstreamRefused("m", "error", status=500, code=None), 500, "upstream_error", None, "false", None),
    (GatewayError("a secret detail"), 500, "server_error", "internal_error", "false", None),
]


@pytest.mark.parametrize(("error", "status", "type_", "code", "should_retry", "retry_after"), TABLE)
def test_an_error_on_the_wire(
    error: GatewayError, status: int, type_: str, code: str | None, should_retry: str | None, retry_after: str | None
) -> None:
    response = error_response(wire_error(error))
    told = json.loads(bytes(response.body))["error"]
    assert response.status_code == status
    assert {"message", "type", "param", "code"} <= told.keys()
    assert (told["type"], told["code"]) == (type_, code)
    assert response.headers.get("x-should-retry") == should_retry
    assert response.headers.get("retry-after") == retry_after
    assert "secret" not in told["message"]


def test_every_error_that_can_reach_a_client_is_in_the_table() -> None:
    def leaves(kind: type[GatewayError]) -> set[type[GatewayError]]:
        below = kind.__subclasses__()
        return {kind} if not below else {leaf for child in below for leaf in leaves(child)}

    told = {type(row[0]) for row in TABLE}
    told |= {CatalogError, SetupError}  # a ConfigurationError, as the next test shows
    internal = {errors.ClientLeft, errors.DuplicateReservation, errors.IdempotencyKeyTaken}
    assert leaves(GatewayError) - told == internal


@pytest.mark.parametrize("kind", [CatalogError, SetupError])
def test_a_kind_of_an_error_looks_as_that_error(kind: type[GatewayError]) -> None:
    assert wire_error(kind("line 3")) == wire_error(errors.ConfigurationError("line 3"))


ERROR = errors.UpstreamBroken("ZenMux's answer ended.", "incomplete")


def test_a_stream_between_events_ends_in_one_error_event() -> None:
    head, data, *rest = error_event(ERROR, lambda _: b"").decode().split("\n")
    assert head == "event: error"
    told = json.loads(data.removeprefix("data: "))
    assert told["type"] == "error"
    assert told["error"]["code"] == "upstream_broken"
    assert rest == ["", ""]


def test_a_stream_cut_inside_an_event_ends_in_that_event_with_an_error_field() -> None:
    sent = b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"AAAA'
    first, second, rest = (sent + error_event(ERROR, lambda field: b'",' + field + b"}\n\n")).decode().split("\n\n")
    told = json.loads(first.partition("data: ")[2])
    assert told["error"]["code"] == "upstream_broken"
    assert second.startswith("event: error\n")
    assert rest == ""
