"""Where an answer's head and body end, for every way to cut it into reads; and what is no answer at all."""

from itertools import pairwise

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.upstream.http1.framing import Body, Chunked, Head, Malformed, Sized, UntilEnd, take_head

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def head_of(text: bytes, method: str = "POST") -> Head:
    head, _ = take_head(text, method)
    assert head is not None
    return head


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces that end at `cuts`, which may be anywhere."""
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def fed(body: Body, pieces: list[bytes]) -> bytes:
    """All that `body` gives for `pieces`, which come in one buffer that is overwritten by each of them."""
    buffer, got = bytearray(1 + max(map(len, pieces), default=0)), []
    for piece in pieces:
        buffer[:] = b"\xff" * len(buffer)
        buffer[: len(piece)] = piece
        if piece and not body.fault:
            got.append(bytes(buffer[: body.feed(buffer, len(piece))]))
    return b"".join(got)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and what it is in chunks."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
    sizes = st.sampled_from(["%x", "%X", "%06x", "%x;a=b", '%x ; a="b,c"', "%x "])
    wire = b"".join((draw(sizes) % len(chunk)).encode() + b"\r\n" + chunk + b"\r\n" for chunk in chunks)
    trailers = draw(st.sampled_from([b"", b"a: b\r\n", b"a: b\r\nc:\r\n"]))
    return b"".join(chunks), wire + draw(st.sampled_from([b"0", b"000", b"0;x"])) + b"\r\n" + trailers + b"\r\n"


class TestHeads:
    @given(st.lists(st.integers(0, 500)), st.binary(max_size=20), st.integers(0, 3))
    def test_are_the_same_however_they_come(self, cuts: list[int], rest: bytes, interim: int) -> None:
        text = (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * interim
            + OK
            + b"A: 1\r\na:  2 \r\nContent-Length: 20\r\n\r\n"
        )
        held = b""
        head = None
        for piece in cut(text, cuts):
            assert head is None
            head, held = take_head(held + piece, "POST")
        assert head is not None
        assert held == b""
        assert (head.status, head.keeps) == (200, True)
        assert head.headers == [(b"A", b"1"), (b"a", b"2"), (b"Content-Length", b"20")]
        head, after = take_head(text + rest, "POST")
        assert head is not None
        assert after == rest

    @pytest.mark.parametrize(
        "text",
        [
            b"what?\r\n\r\n",
            b"\x16\x03\x01\x00\x02\x02\x28",
            b"\r\n\r\n" + OK + b"\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.2 200 OK\r\n\r\n",
            b"HTTP/0.9 200 OK\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 -20 OK\r\n\r\n",
            b"HTTP/1.1 200 O\x00K\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            OK + b"no colon\r\n\r\n",
            OK + b": no name\r\n\r\n",
            OK + b"A : space\r\n\r\n",
            OK + b"A: folded\r\n b\r\n\r\n",
            OK + b" A: b\r\n\r\n",
            OK + b"A: nul\x00\r\n\r\n",
            OK + b"A: bare\rcarriage\r\n\r\n",
            OK + b"A: bare\nfeed: x\r\n\r\n",
            OK + b"Content-Length: many\r\n\r\n",
            OK + b"Content-Length: -1\r\n\r\n",
            OK + b"Content-Length: +1\r\n\r\n",
            OK + b"Content-Length: 0x10\r\n\r\n",
            OK + b"Content-Length: 1_0\r\n\r\n",
            OK + b"Content-Length:\r\n\r\n",
            OK + b"Content-Length: 99999999999999999999\r\n\r\n",
            OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
            OK + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
            OK + b"Content-Length: 5, 5\r\n\r\n",
            OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            OK + b"Transfer-Encoding: chunked, identity\r\n\r\n",
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
            OK + b"Transfer-Encoding: xchunked\r\n\r\n",
            OK + b"Transfer-Encoding:\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            OK + b"x-huge: " + b"x" * 70_000,
            OK + b"x-huge: " + b"x" * 70_000 + b"\r\n\r\n",
            OK + b"x-many: x\r\n" * 300 + b"\r\n",
        ],
    )
    def test_that_are_none(self, text: bytes) -> None:
        with pytest.raises(Malformed):
            take_head(text, "POST")

    @given(st.binary(max_size=200))
    @example(b"")
    @example(b"HTTP/1.")
    def test_anything_else_is_refused_or_waited_for(self, noise: bytes) -> None:
        for text in (noise, OK + noise, OK + noise + b"\r\n\r\n"):
            try:
                head, rest = take_head(text, "POST")
            except Malformed:
                continue
            assert head is not None or rest == text

    @given(st.integers(0, 80), st.integers(0, 255))
    def test_one_byte_changed_is_refused_or_means_what_httptools_says(self, at: int, byte: int) -> None:
        text = bytearray(OK + b"A: b\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n")
        text[at % len(text)] = byte
        try:
            head, _ = take_head(bytes(text), "POST")
        except Malformed:
            return
        if head is not None and isinstance(head.body, Sized):
            body = b"x" * 20
            told = Told()
            told.parse(bytes(text) + body, whole=False)
            assert head.status == told.status
            assert fed(head.body, [body]) == told.body

    @pytest.mark.parametrize(
        ("text", "keeps"),
        [
            (OK + b"Content-Length: 0\r\n\r\n", True),
            (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
            (OK + b"Content-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
            (OK + b"\r\n", False),
            (b"HTTP/1.1 204 No Content\r\n\r\n", True),
            (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", False),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        ],
    )
    def test_say_whether_the_connection_is_kept(self, text: bytes, keeps: bool) -> None:
        assert head_of(text).keeps is keeps

    @pytest.mark.parametrize(
        ("text", "method", "kind"),
        [
            (OK + b"Content-Length: 5\r\n\r\n", "POST", Sized),
            (CHUNKED, "POST", Chunked),
            (OK + b"Transfer-Encoding: Chunked \r\n\r\n", "POST", Chunked),
            (OK + b"\r\n", "POST", UntilEnd),
            (b"HTTP/1.0 200 OK\r\n\r\n", "POST", UntilEnd),
        ],
    )
    def test_say_how_the_body_ends(self, text: bytes, method: str, kind: type) -> None:
        assert type(head_of(text, method).body) is kind

    @pytest.mark.parametrize(
        ("text", "method"),
        [
            (OK + b"Content-Length: 5\r\n\r\n", "HEAD"),
            (CHUNKED, "HEAD"),
            (OK + b"\r\n", "HEAD"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "POST"),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "POST"),
        ],
    )
    def test_without_a_body(self, text: bytes, method: str) -> None:
        assert head_of(text, method).body.complete


@pytest.mark.parametrize("step", [1, 100, 1_000_000])
def test_interim_answers_are_bounded_in_number_and_size(step: int) -> None:
    for flood in (b"HTTP/1.1 100 Continue\r\n\r\n" * 200, (b"HTTP/1.1 103 A\r\nx: " + b"y" * 8000 + b"\r\n\r\n") * 20):
        with pytest.raises(Malformed):
            take_in_pieces(flood, max(step, len(flood) // 500))


def take_in_pieces(data: bytes, step: int) -> None:
    left = b""
    for at in range(0, len(data), step):
        head, left = take_head(left + data[at : at + step], "POST")
        assert head is None
        assert len(left) <= 65_536


class TestBodies:
    @given(st.binary(max_size=200), st.lists(st.integers(0, 500)), st.binary(max_size=5))
    def test_of_a_known_length(self, data: bytes, cuts: list[int], surplus: bytes) -> None:
        body = Sized(len(data))
        assert fed(body, cut(data + surplus, cuts)) == data
        assert (body.complete, body.surplus, body.fault) == (True, surplus != b"", "")

    @given(chunked(), st.lists(st.integers(0, 500)), st.binary(max_size=5))
    def test_in_chunks(self, data_and_wire: tuple[bytes, bytes], cuts: list[int], surplus: bytes) -> None:
        data, wire = data_and_wire
        body = Chunked()
        assert fed(body, cut(wire + surplus, cuts)) == data
        assert (body.complete, body.surplus, body.fault) == (True, surplus != b"", "")

    @given(st.binary(max_size=200), st.lists(st.integers(0, 500)))
    def test_until_the_end(self, data: bytes, cuts: list[int]) -> None:
        body = UntilEnd()
        assert fed(body, cut(data, cuts)) == data
        assert not body.complete
        body.end()
        assert (body.complete, body.fault) == (True, "")

    @given(chunked(), st.data())
    def test_cut_off_anywhere_are_never_whole(self, data_and_wire: tuple[bytes, bytes], data: st.DataObject) -> None:
        whole, wire = data_and_wire
        for body, text in ((Chunked(), wire), (Sized(len(wire)), wire)):
            got = fed(body, [text[: data.draw(st.integers(0, len(text) - 1))]])
            assert (whole if isinstance(body, Chunked) else wire).startswith(got)
            assert not body.complete
            body.end()
            assert body.fault

    @pytest.mark.parametrize(
        "wire",
        [
            b"zz\r\n",
            b"\r\n",
            b"-1\r\n",
            b"+1\r\na\r\n",
            b"0x1\r\na\r\n",
            b"1_0\r\n",
            b" 1\r\na\r\n",
            b"1\na\r\n",
            b"1\r\na\n",
            b"1\r\nab\r\n",
            b"1;a\x00\r\na\r\n",
            b"1;a\rb\r\na\r\n",
            b"11111111111111111\r\n",
            b"5" * 5_000,
            b"1;" + b"x" * 5_000,
            b"0\r\n" + b"x" * 5_000,
            b"0\r\n" + b"x: y\r\n" * 5_000,
            b"0\r\na: b\n\r\n",
        ],
    )
    @pytest.mark.parametrize("before", [b"", b"3\r\nabc\r\n"])
    @pytest.mark.parametrize("step", [1, 7, 1_000_000])
    def test_broken_chunks_are_told_and_what_came_before_is_given(self, wire: bytes, before: bytes, step: int) -> None:
        body, text = Chunked(), before + wire
        got = fed(body, [text[at : at + step] for at in range(0, len(text), step)])
        assert body.fault
        assert not body.complete
        assert got in (b"abc", b"abca") if before else got in (b"", b"a")

    def test_an_absurd_chunk_is_awaited_without_holding_anything(self) -> None:
        body = Chunked()
        data = bytearray(b"ffffffffffffffff\r\nabc")
        assert body.feed(data, 21) == 3
        assert data[:3] == b"abc"
        assert (body.complete, body.fault) == (False, "")

    @given(chunked(), st.integers(0, 500), st.integers(0, 255), st.lists(st.integers(0, 500)))
    def test_chunks_with_a_byte_changed_are_refused_or_read_as_httptools_reads_them(
        self, data_and_wire: tuple[bytes, bytes], at: int, byte: int, cuts: list[int]
    ) -> None:
        wire = bytearray(data_and_wire[1])
        wire[at % len(wire)] = byte
        body = Chunked()
        got = fed(body, cut(bytes(wire), cuts))
        told = Told()
        if body.complete and not body.surplus and told.parse(CHUNKED + bytes(wire), whole=True):
            assert told.body == got


class Told:
    """What httptools, left to itself, reads out of a whole answer."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 0
        self.whole = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True

    def parse(self, text: bytes, *, whole: bool) -> bool:
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(text)
        except httptools.HttpParserError:
            if whole:
                return False
        self.status = parser.get_status_code()
        return self.whole
