"""Only named headers cross, in either direction."""

import pytest

import app
from app.upstream.headers import content_length, media_type, request_headers, response_headers, upstream_request_id

ANSWER = [
    ("content-type", "application/json; charset=utf-8"),
    ("content-length", "10"),
    ("content-encoding", "gzip"),
    ("cache-control", "no-store"),
    ("set-cookie", "__cf_bm=secret"),
    ("x-zenmux-requestid", "zm-1"),
    ("x-request-id", "req_1"),
    ("x-server-id", "node-7"),
    ("cf-ray", "1-FRA"),
    ("server", "cloudflare"),
    ("openai-organization", "org-1"),
    ("openai-processing-ms", "1200"),
    ("x-ratelimit-limit-requests", "5"),
    ("transfer-encoding", "chunked"),
    ("connection", "keep-alive"),
    ("keep-alive", "timeout=5"),
    ("access-control-allow-origin", "*"),
    ("strict-transport-security", "max-age=1"),
]


def test_all_that_zenmux_is_told() -> None:
    assert request_headers("sk-ai-v1-key", "application/json") == {
        "authorization": "Bearer sk-ai-v1-key",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"zenmux-gateway/{app.__version__}",
    }


def test_without_a_key_no_authorization_is_sent() -> None:
    assert "authorization" not in request_headers(None, "application/json")


def test_all_that_comes_back() -> None:
    assert response_headers(ANSWER) == [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cache-control", b"no-store"),
    ]


def test_a_value_that_is_not_ascii_does_not_come_back() -> None:
    assert response_headers([("content-type", "text/ä"), ("cache-control", "\u20ac")]) == []


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        (ANSWER, "zm-1"),
        ([("x-request-id", "req_1"), ("x-generation-id", "gen-1")], "req_1"),
        ([("x-generation-id", "gen-1")], "gen-1"),
        ([("x-zenmux-requestid", ""), ("x-request-id", "req_1")], "req_1"),
        ([("x-zenmux-requestid", "a b"), ("x-request-id", "é")], None),
        ([("x-zenmux-requestid", "x" * 500)], "x" * 128),
        ([], None),
    ],
)
def test_the_request_id_is_for_our_records(headers: list[tuple[str, str]], request_id: str | None) -> None:
    assert upstream_request_id(headers) == request_id


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "application/json"),
        ("Text/Event-Stream; charset=UTF-8", "text/event-stream"),
        (" text/html ;x", "text/html"),
        ("", ""),
    ],
)
def test_media_type(content_type: str, expected: str) -> None:
    assert media_type(content_type) == expected


@pytest.mark.parametrize(
    ("length", "encoding", "expected"),
    [
        ("10", "", 10),
        ("0", "identity", 0),
        ("10", "gzip", None),
        ("", "", None),
        ("-1", "", None),
        ("1_0", "", None),
        ("٣", "", None),
        ("9" * 30, "", None),
    ],
)
def test_content_length(length: str, encoding: str, expected: int | None) -> None:
    assert content_length(length, encoding) == expected
