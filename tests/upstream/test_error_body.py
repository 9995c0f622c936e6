"""Error bodies of any make are read, and nothing that callers may not see stays in their text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.error_body import ErrorBody, describe_page, read_error_body, scrub


def read(document: object) -> ErrorBody:
    return read_error_body(json.dumps(document).encode())


def test_zenmuxs_envelope() -> None:
    reported = read({"error": {"code": "429", "type": "rate_limit", "message": "Rate limit exceeded"}})
    assert reported == ErrorBody("Rate limit exceeded", "rate_limit", None, None, frozenset({"rate_limit"}))


def test_openais_envelope() -> None:
    error = {"message": "m", "type": "invalid_request_error", "param": "images[0].image_url", "code": "invalid_value"}
    words = frozenset({"invalid_request_error", "invalid_value"})
    assert read({"error": error, "status": 400}) == ErrorBody(
        "m", "invalid_request_error", "invalid_value", "images[0].image_url", words
    )


def test_azures_envelope() -> None:
    filtered = {"hate": {"filtered": False}, "violence": {"filtered": True, "severity": "medium"}, "jailbreak": None}
    for inner_name, results_name in (
        ("inner_error", "content_filter_results"),
        ("innererror", "content_filter_result"),
    ):
        inner = {"code": "ResponsibleAIPolicyViolation", results_name: filtered, "revised_prompt": "secret"}
        reported = read({"error": {"code": "content_filter", "message": "m", "param": "prompt", inner_name: inner}})
        assert reported.words == {"content_filter", "responsibleaipolicyviolation"}
        assert reported.details == {"moderation_details": {"moderation_stage": "unknown", "categories": ["violence"]}}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (
            {"moderation_stage": "output", "categories": ["violence", "sexual/minors", "self-harm"]},
            {"moderation_stage": "output", "categories": ["violence", "sexual/minors", "self-harm"]},
        ),
        (
            {"moderation_stage": "made up", "categories": ["A Prompt", 1, "x" * 65, "hate"], "more": "x"},
            {"moderation_stage": "unknown", "categories": ["hate"]},
        ),
        ({"categories": ["a"] * 50}, {"moderation_stage": "unknown", "categories": ["a"] * 20}),
        ({"moderation_stage": ["input"]}, {"moderation_stage": "unknown", "categories": []}),
    ],
)
def test_openais_moderation_details(details: object, expected: object) -> None:
    reported = read({"error": {"code": "moderation_blocked", "moderation_details": details}})
    assert reported.details == {"moderation_details": expected}


@pytest.mark.parametrize("code", [429, "429", "", None, True, ["a"], "Not A Word", "x" * 65])
def test_a_code_that_is_no_word_is_none(code: object) -> None:
    assert read({"error": {"code": code}}).code is None


@pytest.mark.parametrize("param", ["", "a b", 1, None, "x" * 65, "<script>"])
def test_a_param_that_names_no_parameter_is_none(param: object) -> None:
    assert read({"error": {"param": param}}).param is None


@pytest.mark.parametrize(
    ("document", "message", "param"),
    [
        ({"detail": "prompt: too odd"}, "prompt: too odd", None),
        (
            {"detail": [{"loc": ["body", "size"], "msg": "size is not offered", "type": "value_error"}]},
            "size is not offered",
            "size",
        ),
        ({"errors": [{"message": "m", "param": "n"}]}, "m", "n"),
        ({"errors": ["m"]}, "m", None),
        ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], "m", None),
        ({"error": [{"message": "m"}]}, "m", None),
        ({"error": {"errors": [{"message": "inner"}], "message": "outer"}}, "outer", None),
        ({"error": {"error": {"message": "m", "param": "size"}}}, "m", "size"),
        ({"message": "m", "error": "Bad Request", "statusCode": 400}, "m", None),
        ({"title": "Bad Request", "detail": "m", "status": 400}, "m", None),
        ({"msg": "m"}, "m", None),
        ({"detail": {"error": {"message": "m"}}}, "m", None),
    ],
)
def test_the_reason_is_found_wherever_it_stands(document: object, message: str, param: str | None) -> None:
    reported = read(document)
    assert (reported.message, reported.param) == (message, param)


def test_a_page_says_what_it_is() -> None:
    assert describe_page(b"<!DOCTYPE html><title>Just a moment...</title>") == "a page titled 'Just a moment...'"
    assert describe_page(b"<html>") == "a body that is not JSON"
    assert describe_page(b" ") == "no body"
    assert describe_page(b"<title>" * 100_000) == "a body that is not JSON"


def test_envelopes_of_strangers() -> None:
    assert read({"error": "it broke"}).message == "it broke"
    assert read({"message": "flat", "code": "no_money"}) == ErrorBody(
        "flat", None, "no_money", None, frozenset({"no_money"})
    )
    nothings: list[object] = [{}, {"error": None}, {"error": {}}, {"error": []}, {"error": {"message": {}}}, [], "x", 1]
    for nothing in nothings:
        assert read(nothing) == ErrorBody()


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b'{"error":{"mess', b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_json_says_nothing(body: bytes) -> None:
    assert read_error_body(body) == ErrorBody()


NAMES = st.sampled_from(
    [
        *("error", "message", "type", "code", "param", "inner_error", "content_filter_results", "moderation_details"),
        *("moderation_stage", "categories", "filtered"),
    ]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a b", "content_filter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
)


@given(st.binary(max_size=60) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_nothing_makes_it_raise(body: bytes) -> None:
    read_error_body(body)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid value: 'ultra'. Supported values are: 'low' and 'high'.",) * 2,
        ("Invalid size '9x9'. Width and height must both be divisible by 16.",) * 2,
        ("Prompt is too long (max. 32,000 characters; got 40,000).",) * 2,
        ("Streaming is only supported with n=1.",) * 2,
        ("Model gpt-image-2.5-sunburst-2026-09-08 needs image/png at 100%.",) * 2,
        ("Denied (request_id: 8a1b-77)", "Denied"),
        ("Denied (request_id: 8a1b-77, api_key_source: payg).", "Denied."),
        ("Denied. request id: 4f9c2", "Denied. request id [removed]"),
        ('Denied, "x-zenmux-requestid": "zm-4f9c2"!', 'Denied, "x-zenmux-requestid [removed]"!'),
        ("Denied api_key_source: payg", "Denied"),
        ("See request ID req_0a1b2c3d4e5f. Bye", "See request ID [removed]. Bye"),
        ("Incorrect API key provided: sk-ai-v1-…***…abcd.", "Incorrect API key provided: [removed]."),
        ("key sk_live_51Hx and sk-proj-AbC-12_3", "key [removed] and [removed]"),
        ("Authorization: Bearer abc.def", "Authorization: [removed]"),
        ("in organization org-AbCdEfGh1234 on", "in organization [removed] on"),
        ("project proj_AbCdEfGh1234", "project [removed]"),
        ("see https://platform.openai.com/account/api-keys now", "see [removed] now"),
        (
            "from http://10.0.0.7:8080/v1 or 10.0.0.8:443 or node-3.zenmux.svc.cluster.local:80",
            "from [removed] or [removed] or [removed]",
        ),
        ("connect to localhost:5432 failed", "connect to [removed] failed"),
        ("at /srv/app/server/handler.py line 7", "at [removed] line 7"),
        ("mail ops@example.org.", "mail [removed]."),
        ("trace 123e4567-e89b-12d3-a456-426614174000 and 0123456789abcdef0123", "trace [removed] and [removed]"),
        ("image data:image/png;base64,iVBORw0KGgo= is bad", "image [removed] is bad"),
        ("image " + "QUJD" * 50 + " is bad", "image [removed] is bad"),
        (
            "Your request was rejected by the safety system. If you believe this is an error, contact support at "
            "https://help.openai.com/. Include the request ID req_0a1b2c3d4e5f6a7b. safety_violations=[violence]",
            "Your request was rejected by the safety system. If you believe this is an error, contact support at "
            "[removed]. Include the request ID [removed]. safety_violations=[violence]",
        ),
        ("a\x00b\x1b[31m\r\nc\u202e\ud800d", "a b [31m c d"),
        ("  a \t b  ", "a b"),
        ("x " * 600, "x " * 249 + "x…"),
        ("", ""),
    ],
)
def test_scrubbed_text(text: str, shown: str) -> None:
    assert scrub(text) == shown


@given(st.text())
def test_scrubbing_bounds_and_is_done_once(text: str) -> None:
    shown = scrub(text * 3)
    assert len(shown) <= 500
    assert shown.isprintable()
