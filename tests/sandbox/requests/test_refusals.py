"""The shapes of errors, as published."""

import pytest

from app.sandbox.requests.refusals import (
    BILLED_STATUSES,
    ZENMUX_ERRORS,
    from_table,
    moderation_azure,
    moderation_openai,
    openai,
    zenmux,
)

ROWS = [(status, kind) for status, rows in ZENMUX_ERRORS.items() for kind, _ in rows]


def test_the_published_statuses_are_there() -> None:
    assert set(ZENMUX_ERRORS) >= {400, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504, 520, 524}
    assert set(ZENMUX_ERRORS) >= BILLED_STATUSES


@pytest.mark.parametrize(("status", "kind"), ROWS)
def test_zenmux_has_three_keys_and_the_status_as_text(status: int, kind: str) -> None:
    refusal = from_table(status, kind, "id-1")
    error = refusal.body["error"]
    assert isinstance(error, dict)
    assert refusal.status == status
    assert set(error) == {"code", "type", "message"}
    assert (error["code"], error["type"]) == (str(status), kind)


def test_the_first_type_is_meant_when_none_is_named() -> None:
    assert from_table(402, None, "id-1").body == from_table(402, "insufficient_credit", "id-1").body


def test_the_message_carries_internals_to_scrub() -> None:
    error = from_table(403, "access_denied", "id-1").body["error"]
    assert isinstance(error, dict)
    assert error["message"].endswith("(request_id: id-1, api_key_source: payg)")


def test_openai_has_all_four_keys_even_when_null() -> None:
    assert openai("No.", code=None, param=None).body == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    }


def test_moderation_in_both_dialects() -> None:
    first, second = moderation_openai("id-1").body["error"], moderation_azure("id-1").body["error"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["code"], first["moderation_details"]["moderation_stage"]) == ("moderation_blocked", "input")
    assert second["code"] == "content_policy_violation"
    assert second["inner_error"]["content_filter_results"]["violence"]["filtered"] is True


def test_two_refusals_share_no_headers() -> None:
    first = zenmux(429, "rate_limit", "Slow")
    first.headers["Retry-After"] = "1"
    assert zenmux(429, "rate_limit", "Slow").headers == {}
