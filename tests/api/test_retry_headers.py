"""What a request says of its being sent again."""

import pytest
from starlette.requests import Request

from app.api.retry_headers import idempotency_key, retry_count
from app.errors import InvalidRequest


def request(name: str, value: str | None) -> Request:
    headers = [] if value is None else [(name.encode(), value.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (None, None),
        ("k", "k"),
        ('"k"', "k"),
        ('"a \\"b\\" \\\\c"', 'a "b" \\c'),
        ("k" * 255, "k" * 255),
        ('"', '"'),
    ],
)
def test_a_key_is_read_raw_or_quoted(written: str | None, key: str | None) -> None:
    assert idempotency_key(request("idempotency-key", written)) == key


@pytest.mark.parametrize("written", ["", '""', "k" * 256, "k\tk", "schlüssel"])
def test_what_is_no_key_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest):
        idempotency_key(request("idempotency-key", written))


@pytest.mark.parametrize(
    ("written", "count"), [(None, 0), ("0", 0), ("2", 2), ("-1", 0), ("x", 0), ("9" * 50, 0), ("²", 0)]
)
def test_a_retry_count_is_a_number_or_none(written: str | None, count: int) -> None:
    assert retry_count(request("x-stainless-retry-count", written)) == count
