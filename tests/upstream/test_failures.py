"""Every documented failure of ZenMux, OpenAI and Azure: what a caller is told, and whether it may have been billed."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamAccountFault, UpstreamError, UpstreamRefused, UpstreamTimeout
from app.images.cost.usage import Failure
from app.upstream.failures import failure_in_answer, no_image, translate

INVALID, USER_ERROR = "invalid_request_error", "image_generation_user_error"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx/1.25 at edge-7.internal</body></html>"


@dataclass(frozen=True)
class Told:
    """What a caller sees of a refusal."""

    kind: str
    status: int
    type: str
    code: str | None
    param: str | None = None
    billed: bool | None = False
    retryable: bool = False


MODERATION = Told("moderation", 400, USER_ERROR, "moderation_blocked")
MODEL = Told("model", 404, INVALID, "model_not_found", "model")
PROMPT = Told("invalid", 400, INVALID, "string_above_max_length", "prompt")
RATE = Told("rate_limit", 429, "rate_limit_error", "rate_limit_exceeded", retryable=True)
NO_PROVIDER = Told("no_provider", 503, "server_error", "no_provider_available", retryable=True)
PROVIDER = Told("provider_error", 502, "upstream_error", "upstream_failed", billed=None)
UNEXPECTED = Told("unexpected_status", 502, "upstream_error", None)
REDIRECT = Told("redirect", 502, "upstream_error", None)


def invalid(code: str | None = None, param: str | None = None, kind: str = INVALID) -> Told:
    return Told("invalid", 400, kind, code, param)


def told_of(error: UpstreamError) -> Told:
    assert isinstance(error, UpstreamRefused)
    return Told(error.kind, error.status, error.type, error.code, error.param, error.billed, error.retryable)


def zenmux(status: int, kind: str, message: str = "m") -> bytes:
    return json.dumps({"error": {"code": str(status), "type": kind, "message": message}}).encode()


def openai(message: str = "m", kind: str | None = INVALID, code: str | None = None, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


# ZenMux's own table (its error-codes page), row by row, with the messages seen.
@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_params", "Parameter model is required", invalid("missing_required_parameter", "model")),
        (400, "invalid_params", "Model openai/nope is not valid", MODEL),
        (400, "invalid_params", "Parameter n grater than 1 is not supported", invalid("invalid_value", "n")),
        (400, "invalid_params", "Parameter type of provider.routing is not valid", invalid()),
        (400, "invalid_image_file", "Not an image", invalid("invalid_image_file")),
        (403, "safety_check_failed", "No", MODERATION),
        (404, "model_not_available", "m", MODEL),
        (404, "invalid_model", "m", MODEL),
        (500, "invalid_model", "m", MODEL),
        (404, "model_not_supported", "m", MODEL),
        (413, "invalid_params", "Prompt is too long", PROMPT),
        (422, "provider_unprocessable_entity_error", "m", invalid()),
        (429, "rate_limit", "Rate limit exceeded", RATE),
        (500, "internal_server_error", "m", PROVIDER),
        (500, "provider_api_error", "m", PROVIDER),
        (500, "provider_error", "m", PROVIDER),
        (502, "no_provider_available", "m", NO_PROVIDER),
        (502, "provider_error", "m", PROVIDER),
        (503, "provider_api_error", "m", PROVIDER),
        (503, "no_provider_available", "m", NO_PROVIDER),
        (520, "provider_internal_server_error", "m", PROVIDER),
    ],
)
def test_zenmuxs_refusals(status: int, kind: str, message: str, expected: Told) -> None:
    error = translate(status, zenmux(status, kind, message))
    assert told_of(error) == expected
    assert isinstance(error, UpstreamRefused)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (402, zenmux(402, "insufficient_credit"), "account_credit"),
        (402, zenmux(402, "reject_no_credit"), "account_credit"),
        (402, zenmux(402, "quote_exceeded"), "account_credit"),
        (402, HTML, "account_credit"),
        (403, zenmux(403, "access_denied", "No (request_id: 8a1b, api_key_source: payg)"), "account_key"),
        (401, openai("Incorrect API key provided: sk-…***…", code="invalid_api_key"), "account_key"),
        (400, openai(code="billing_hard_limit_reached"), "account_credit"),
        (403, openai("Your organization must be verified to use the model"), "account_key"),
        *(
            (429, openai(kind="insufficient_quota", code=code), "account_credit")
            for code in (
                "insufficient_quota",
                "credit_balance_exhausted",
                "organization_spend_limit_exceeded",
                "project_spend_limit_exceeded",
                "organization_usage_limit_exceeded",
            )
        ),
        (429, openai(kind=None, code="project_spend_limit_exceeded"), "account_credit"),
    ],
)
def test_faults_of_our_own_account_are_the_operators(status: int, body: bytes, kind: str) -> None:
    error = translate(status, body)
    assert isinstance(error, UpstreamAccountFault)
    assert (error.kind, error.billed) == (kind, False)
    assert "operator" in error.message
    assert not any(word in error.message for word in ("8a1b", "payg", "sk-", "verified", "API key"))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", [HTML, b"", b"<!DOCTYPE html><title>Just a moment...</title>", b'{"message":"Forbidden"}']
)
def test_a_page_on_the_way_is_no_fault_of_our_account(status: int, body: bytes) -> None:
    error = translate(status, body)
    assert isinstance(error, UpstreamRefused)
    assert (error.kind, error.status, error.code, error.billed) == (
        "blocked_on_the_way",
        502,
        "upstream_blocked",
        False,
    )
    assert error.reason


@pytest.mark.parametrize("status", [408, 504, 524])
@pytest.mark.parametrize("body", [b"", HTML, zenmux(524, "provider_internal_server_error")])
def test_a_provider_that_gave_no_answer_may_have_billed(status: int, body: bytes) -> None:
    error = translate(status, body)
    assert isinstance(error, UpstreamTimeout)
    assert (error.kind, error.billed) == ("provider_timeout", None)


# OpenAI's bodies, and Azure's, as they come through.
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai("No", USER_ERROR, "moderation_blocked"), MODERATION),
        (400, openai("No", INVALID, "content_policy_violation"), MODERATION),
        (400, openai("No", None, "content_filter", "prompt"), MODERATION),
        (400, b'{"error":{"code":"400","innererror":{"code":"ResponsibleAIPolicyViolation"}}}', MODERATION),
        (
            400,
            openai("Invalid 'n': integer above maximum value.", INVALID, "integer_above_max_value", "n"),
            invalid("integer_above_max_value", "n"),
        ),
        (400, openai("Unknown", INVALID, "unknown_parameter", "style"), invalid("unknown_parameter", "style")),
        (400, openai("Bad size", USER_ERROR, "invalid_value", "size"), invalid("invalid_value", "size", USER_ERROR)),
        (400, openai("The model 'x' does not exist.", USER_ERROR, "invalid_value", "model"), MODEL),
        (404, openai("The model 'x' does not exist", INVALID, "model_not_found"), MODEL),
        (404, b"", UNEXPECTED),
        (405, HTML, UNEXPECTED),
        (409, b"{}", UNEXPECTED),
        (418, b"[]", UNEXPECTED),
        (429, openai("Slow down", None, "slow_down"), RATE),
        (429, openai("Rate limit reached", "requests", "rate_limit_exceeded"), RATE),
        (429, HTML, RATE),
        (429, b"", RATE),
        (500, openai("The server had an error", "server_error"), PROVIDER),
        (500, HTML, PROVIDER),
        (502, HTML, PROVIDER),
        (502, b"", PROVIDER),
        (503, openai("Overloaded", "server_error", "server_is_overloaded"), NO_PROVIDER),
        (500, openai("Overloaded", "server_error", "server_is_overloaded"), NO_PROVIDER),
        (503, HTML, PROVIDER),
        (503, b"", PROVIDER),
        (599, b"null", PROVIDER),
        (413, HTML, Told("invalid", 413, INVALID, "request_too_large")),
        (400, HTML, invalid()),
        (422, b"", invalid()),
        *((status, HTML, REDIRECT) for status in (301, 302, 307, 308)),
        (303, b"", replace(REDIRECT, billed=None)),
    ],
)  # fmt: skip
def test_everybody_elses_refusals(status: int, body: bytes, expected: Told) -> None:
    assert told_of(translate(status, body)) == expected


def test_moderation_keeps_its_details_and_words() -> None:
    details = {"moderation_stage": "input", "categories": ["violence"]}
    body = {
        "error": {
            "message": "Rejected (request_id: 8a1b).",
            "code": "moderation_blocked",
            "moderation_details": details,
        }
    }
    error = translate(400, json.dumps(body).encode())
    assert isinstance(error, UpstreamRefused)
    assert (error.message, error.details) == ("Rejected.", {"moderation_details": details})


def test_only_refusals_of_the_request_itself_are_told_in_the_providers_words() -> None:
    for status, body, message in (
        (400, openai("Say <this> req_0a1b2c3d", code="invalid_value"), "Say <this> [removed]"),
        (422, zenmux(422, "provider_unprocessable_entity_error", "Drop 'style'"), "Drop 'style'"),
        (400, b"", "ZenMux refused the request and did not say why."),
        (403, zenmux(403, "safety_check_failed", ""), "The request was rejected by the safety system."),
    ):
        assert translate(status, body).message == message
    for status in (301, 401, 402, 403, 404, 405, 408, 413, 429, 500, 502, 503, 504, 520, 524):
        assert "SECRET" not in translate(status, zenmux(status, "some_error", "SECRET")).message


@pytest.mark.parametrize(
    ("header", "message", "seconds"),
    [
        ("7", "", 7),
        ("0", "", 1),
        ("3600", "", 60),
        ("9" * 40, "", 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "", None),
        ("-1", "", None),
        ("٣", "", None),
        (None, "", None),
        (None, "Please try again in 467ms.", 1),
        (None, "Limit 5, Used 5, Requested 1. Please try again in 12s.", 13),
        (None, "Please try again in 6.5s.", 7),
        (None, "Please try again in 500s.", 60),
        ("3", "Please try again in 12s.", 3),
    ],
)
def test_how_long_to_wait(header: str | None, message: str, seconds: int | None) -> None:
    error = translate(429, openai(message, "requests", "rate_limit_exceeded"), header)
    assert isinstance(error, UpstreamRefused)
    assert error.retry_after_seconds == seconds


@given(
    st.integers(300, 999),
    st.binary(max_size=20) | st.builds(zenmux, st.just(0), st.text(max_size=10), st.text(max_size=10)),
    st.none() | st.text(max_size=5),
)
def test_any_answer_is_an_error_that_can_be_told(status: int, body: bytes, retry_after: str | None) -> None:
    error = translate(status, body, retry_after)
    assert error.message
    if isinstance(error, UpstreamRefused):
        assert 400 <= error.status <= 599
        assert not (error.retryable and error.billed is not False)
        assert error.retry_after_seconds is None or 1 <= error.retry_after_seconds <= 60


@pytest.mark.parametrize(
    ("failure", "message", "kind", "code"),
    [
        (Failure("It broke (request_id: 8a1b)"), "It broke", "upstream_error", "upstream_failed"),
        (Failure("It broke", "server_error", "500"), "It broke", "upstream_error", "upstream_failed"),
        (Failure(""), "ZenMux or its provider failed to make the image.", "upstream_error", "upstream_failed"),
        (Failure("No", "x", "moderation_blocked"), "No", USER_ERROR, "moderation_blocked"),
        (Failure("No", "Safety_Check_Failed"), "No", USER_ERROR, "moderation_blocked"),
        (Failure("Rate", None, "rate_limit_exceeded"), None, "rate_limit_error", "rate_limit_exceeded"),
        (Failure("SECRET", "insufficient_credit"), None, "upstream_error", "upstream_failed"),
        (Failure("SECRET", None, "access_denied"), None, "upstream_error", "upstream_failed"),
    ],
)
def test_a_failure_in_a_stream(failure: Failure, message: str | None, kind: str, code: str) -> None:
    error = failure_in_answer(failure, streamed=True)
    assert isinstance(error, UpstreamRefused)
    assert (error.kind, error.type, error.code) == ("stream_failure", kind, code)
    assert (error.billed, error.retryable) == (None, False)
    assert error.message == message or message is None
    assert "SECRET" not in error.message


@pytest.mark.parametrize("remark", [None, "", "system busy (request_id: req_0a1b2c3d4e)"])
def test_an_answer_without_an_image(remark: str | None) -> None:
    error = no_image(remark)
    assert isinstance(error, UpstreamRefused)
    assert (error.kind, error.status, error.code, error.billed) == ("no_image", 502, "no_image", None)
    assert error.message == "ZenMux answered without an image" + (": system busy" if remark else ".")


def zenmux_says(status: int, kind: str) -> bytes:
    return json.dumps({"error": {"code": str(status), "type": kind, "message": "m"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (402, zenmux_says(402, "insufficient_credit"), "credit"),
        (402, zenmux_says(402, "reject_no_credit"), "credit"),
        (402, b"", "credit"),
        (402, zenmux_says(402, "quote_exceeded"), "quota"),
        (403, zenmux_says(403, "access_denied"), "key"),
        (429, zenmux_says(429, "rate_limit"), "rate_limit"),
        (429, b"", "rate_limit"),
        # Not ZenMux's word on our account: every account would meet it.
        (403, zenmux_says(403, "safety_check_failed"), None),
        (403, b'{"error": {"code": "access_denied", "message": "the provider\'s"}}', None),
        (403, b'{"type": "access_denied", "message": "of a firewall"}', None),
        (401, b'{"error": {"type": "invalid_request_error", "code": "invalid_api_key"}}', None),
        (403, HTML, None),
        (400, zenmux_says(400, "invalid_params"), None),
        (429, b'{"error": {"type": "image_generation_user_error", "code": "moderation_blocked"}}', None),
        (402, b'{"error": {"type": "image_generation_user_error", "code": "moderation_blocked"}}', None),
        (500, b"", None),
        (503, b'{"error": {"code": "slow_down"}}', None),
    ],
)
def test_what_is_refused_for_the_accounts_sake(status: int, body: bytes, why: str | None) -> None:
    error = translate(status, body)
    assert error.account_why == why
    assert why is None or error.billed is False


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("90000", 90_000.0), (None, None), ("soon", None)])
def test_how_long_an_account_is_to_be_spared(header: str | None, seconds: float | None) -> None:
    assert translate(429, b"", header).account_rest_seconds == seconds


@given(st.integers(300, 599), st.binary(max_size=200))
def test_only_what_was_not_billed_may_go_to_another_account(status: int, body: bytes) -> None:
    error = translate(status, body)
    assert error.account_why is None or error.billed is False
