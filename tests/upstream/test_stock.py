"""What may come before a body and between its pieces. That nothing holds the loop: tests/e2e/test_floods.py."""

import httpx2
import pytest

from app.upstream.stock import Framing

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BLANKS = b" \t" * 1_024


def take(framing: Framing, text: bytes, *, reads: int) -> None:
    size = -(-len(text) // reads)
    for at in range(0, len(text), size):
        framing.take(text[at : at + size])


def after_head(*reads: bytes) -> Framing:
    framing = Framing()
    for read in reads or (HEAD,):
        framing.take(read)
    framing.head_came()
    return framing


@pytest.mark.parametrize("endless", [b"HTTP/1.1 100 \r\n\r\n", b"a:b\r\n", b"a" * 30], ids=["interim", "many", "large"])
def test_heads_have_a_bound(endless: bytes) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match="headers"):
        take(Framing(), endless * 3_000, reads=3_000)


def test_a_large_head_and_a_hundred_interim_answers_are_taken() -> None:
    after_head(b"HTTP/1.1 103 \r\nlink: x\r\n\r\n" * 100 + b"HTTP/1.1 200 OK\r\na:" + b"b" * 60_000 + b"\r\n\r\n")


def test_framing_without_a_body_has_a_bound() -> None:
    framing = after_head()
    for _ in range(100):
        framing.take(b"3;" + b"e" * 1_000)
        framing.piece_came()
    with pytest.raises(httpx2.RemoteProtocolError, match="no bytes of a body"):
        take(framing, b"3;" + b"e" * 100_000, reads=100)


@pytest.mark.parametrize("reads", [1, 2, 7, 4_000])
def test_blanks_in_a_head_are_refused_however_they_come(reads: int) -> None:
    text = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\na:" + BLANKS
    with pytest.raises(httpx2.RemoteProtocolError, match="blanks"):
        take(Framing(), text, reads=reads)


@pytest.mark.parametrize("reads", [1, 2, 7, 4_000])
@pytest.mark.parametrize("before", [HEAD, HEAD + b"1\r\nx\r\n", HEAD + b"1\r\n\n\r\n" * 100])
def test_blanks_in_a_trailer_are_refused_however_they_come(before: bytes, reads: int) -> None:
    text = b"0;x\r\na:" + BLANKS
    framing = after_head(before)
    with pytest.raises(httpx2.RemoteProtocolError, match="blanks"):
        take(framing, text, reads=reads)
    with pytest.raises(httpx2.RemoteProtocolError, match="blanks"):
        after_head(before + text)


def test_a_body_may_have_as_many_blanks_as_it_likes() -> None:
    padded = b"05001\r\n:" + BLANKS * 10 + b"\n\n\r\n"
    framing = after_head(HEAD + padded)
    framing.take(padded)
    framing.piece_came()
    framing.take(padded + b"0\r\n\r\n")


def test_short_runs_of_blanks_are_no_matter() -> None:
    after_head(b"HTTP/1.1 200 OK\r\na:" + (b" " * 2_000 + b"x") * 20 + b"\r\n\r\n")
