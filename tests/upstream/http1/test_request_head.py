"""What was checked before makes no difference to what is sent, or refused."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.http1.request_head import RequestHeads, request_head

NAMES = st.sampled_from([b"x-a", b"X-A", b"accept", b"content-length", b"Content-Length", b"transfer-encoding"])
VALUES = st.sampled_from([b"", b"a", b"2", b"3", b"chunked", b"a\r\nx-injected: b", b"a\x00"])
REQUESTS = st.tuples(
    st.sampled_from(["POST", "GET", "P OST"]),
    st.sampled_from(["/a", "/a?b", "/c"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    st.sampled_from([None, b"", b"ab", b"abc"]),
)


def outcome(heads: RequestHeads | None, request: httpx2.Request, body: bytes | None) -> object:
    try:
        return request_head(request, body) if heads is None else heads.of(request, body)
    except httpx2.LocalProtocolError as error:
        return str(error)


@given(st.lists(st.tuples(REQUESTS, st.booleans()), max_size=8))
def test_of_any_sequence_of_requests(
    asked: list[tuple[tuple[str, str, list[tuple[bytes, bytes]], bytes | None], bool]],
) -> None:
    heads = RequestHeads()
    for (method, path, fields, body), says_length in asked:
        last = [(b"content-length", b"%d" % len(body))] if says_length and body is not None else []
        request = httpx2.Request(
            method, f"http://localhost{path}", headers=[*fields, *last], stream=httpx2.ByteStream(body or b"")
        )
        assert outcome(heads, request, body) == outcome(None, request, body)


def test_a_length_that_was_right_before() -> None:
    heads = RequestHeads()
    fields = [(b"host", b"localhost"), (b"content-length", b"2")]
    request = httpx2.Request("POST", "http://localhost/a", headers=fields, stream=httpx2.ByteStream(b"ab"))
    expected = b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n"
    assert [heads.of(request, b"ab") for _ in range(2)] == [(expected, 2)] * 2
    with pytest.raises(httpx2.LocalProtocolError, match="length"):
        heads.of(request, b"abc")


def test_remembers_a_bounded_number() -> None:
    heads = RequestHeads()
    for number in range(1000):
        fields = [(b"x-a", b"%d" % number), (b"content-length", b"0")]
        request = httpx2.Request("POST", "http://localhost/a", headers=fields, stream=httpx2.ByteStream(b""))
        assert heads.of(request, b"") == request_head(request, b"")
    assert len(heads._beginnings) <= 16
