"""An event stream passes byte for byte while it is read; its failure events alone are withheld. No cut matters."""

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.answers.events import HELD_BYTES_MAX, PARTIALS_MAX, EventScanner
from app.images.cost.usage import AnswerSummary, Failure, Usage

IMAGE = base64.b64encode(bytes(range(256)) * 100).decode()
USAGE = {"total_tokens": 214, "input_tokens": 18, "output_tokens": 196, "input_tokens_details": {"text_tokens": 18}}
READ = Usage(input_text_tokens=18, output_image_tokens=196)


def event(name: str, *, named: bool = True, **fields: object) -> bytes:
    line = f"event: {name}\n" if named else ""
    return f"{line}data: {json.dumps({'type': name, **fields})}\n\n".encode()


PARTIAL = event("image_generation.partial_image", b64_json=IMAGE, partial_image_index=0)
COMPLETED = event("image_generation.completed", b64_json=IMAGE, usage=USAGE)
COMMENT = b": ZENMUX PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"
WHOLE = AnswerSummary(complete=True, image_count=1, usage=READ)
HOLLOW = AnswerSummary(complete=True, image_count=0, usage=READ)
NOTHING = AnswerSummary(complete=False, image_count=0, usage=None)
UNTOLD = "The provider reported an error."

FAILURES: dict[str, tuple[bytes, Failure]] = {
    "event: error with an error object": (
        b'event: error\ndata: {"type":"error","error":{"message":"m","type":"t","code":"c","param":null}}\n\n',
        Failure("m", "t", "c"),
    ),
    "event: error, flat": (
        b'event: error\ndata: {"message":"m","code":500,"type":"server_error"}\n\n',
        Failure("m", "server_error", "500"),
    ),
    "event: error with text": (b"event: error\ndata: it broke\n\n", Failure(UNTOLD)),
    "event: error without data": (b"event: error\n\n", Failure(UNTOLD)),
    "event: proxy_error": (b'event: proxy_error\ndata: {"message":"m"}\n\n', Failure("m")),
    "type error, flat": (b'data: {"type":"error","message":"m","param":"p"}\n\n', Failure("m", None, None, "p")),
    "type last": (b'data: {"message":"m","type":"error"}\n\n', Failure("m")),
    "an error object and nothing else": (b'data: {"error":{"message":"m"}}\n\n', Failure("m")),
    "an error object beside an unknown type": (b'data: {"type":"x","error":{"message":"m"}}\n\n', Failure("m")),
    "an error text": (b'data: {"error":"m"}\n\n', Failure("m")),
    "generation failed": (
        event("image_generation.failed", error={"code": "moderation_blocked"}),
        Failure(UNTOLD, None, "moderation_blocked"),
    ),
    "generation failed, by type alone": (event("image_generation.failed", named=False), Failure(UNTOLD)),
    "edit failed": (event("image_edit.failed", message="m"), Failure("m")),
    "partial failed": (event("image_generation.partial_failed", error={"message": "m"}), Failure("m")),
    "a name after the data": (b'data: {"message":"m"}\nevent: error\n\n', Failure("m")),
    "an id first": (b"id: 7\nretry: 5\nevent: error\n\n", Failure(UNTOLD)),
    "data on several lines": (b'data: {"type":\ndata: "error",\ndata:"message":"m"}\n\n', Failure("m")),
    "CRLF": (b'event: error\r\ndata: {"message":"m"}\r\n\r\n', Failure("m")),
    "CR": (b'event: error\rdata: {"message":"m"}\r\r', Failure("m")),
}


def scan(*chunks: bytes) -> tuple[bytes, AnswerSummary]:
    """What goes out, and what is read, of chunks that come in one memory, each over the one before it."""
    scanner, memory, out = EventScanner(), bytearray(), b""
    for chunk in chunks:
        memory[: len(chunk)] = chunk
        at = 0
        while at < len(chunk):
            out += scanner.feed(memory, len(chunk), at)
            at = scanner.read_to
        memory[:] = b"\n" * len(memory)
    out += scanner.flush()
    assert scanner.flush() == b""
    return out, scanner.summary()


def one_by_one(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 3, 1000, 10**6])
def test_a_good_stream_passes_byte_for_byte(line_end: bytes, size: int) -> None:
    stream = (COMMENT + PARTIAL + COMMENT + COMPLETED + DONE).replace(b"\n", line_end)
    assert scan(*(stream[at : at + size] for at in range(0, len(stream), size))) == (stream, WHOLE)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("operation", ["image_generation", "image_edit"])
def test_a_completed_event_is_known_by_name_or_type(operation: str, named: bool) -> None:
    stream = event(f"{operation}.completed", named=named, b64_json="A", usage=USAGE)
    assert scan(stream) == (stream, WHOLE)


def test_the_very_chunk_passes_when_nothing_is_withheld() -> None:
    scanner = EventScanner()
    for chunk in (COMMENT + PARTIAL, PARTIAL[:5000], PARTIAL[5000:], COMPLETED[:-100], COMPLETED[-100:] + DONE):
        passed = scanner.feed(chunk)
        assert isinstance(passed, memoryview)
        assert passed.obj is chunk
        assert passed == chunk


def test_a_known_event_passes_as_it_arrives() -> None:
    scanner = EventScanner()
    begin = COMPLETED[: COMPLETED.index(b'_json": "') + len(b'_json": "')]
    assert scanner.feed(begin) == b""
    assert scanner.feed(b"A") == begin + b"A"
    assert scanner.feed(b"BC") == b"BC"


def test_an_event_without_a_name_passes_once_its_type_is_known() -> None:
    scanner = EventScanner()
    assert scanner.feed(b'data: {"b64_json":"A","type":"image_generation.partial_im') == b""
    assert scanner.feed(b'age"') == b'data: {"b64_json":"A","type":"image_generation.partial_image"'
    assert scanner.feed(b",") == b","


def test_a_comment_passes_as_it_arrives() -> None:
    scanner = EventScanner()
    for byte in one_by_one(COMMENT):
        assert scanner.feed(byte) == byte


def test_an_event_of_unknown_kind_passes_when_it_ends() -> None:
    scanner = EventScanner()
    assert scanner.feed(b'event: ping\ndata: {"a":1}\n') == b""
    assert scanner.feed(b"\nda") == b'event: ping\ndata: {"a":1}\n\n'
    assert scanner.feed(b"ta: x\n\n") == b"data: x\n\n"
    assert scanner.summary() == NOTHING


@pytest.mark.parametrize("size", [1, 1000, 10**6])
def test_an_event_of_unknown_kind_is_held_up_to_a_bound(size: int) -> None:
    stream = b'data: {"b64_json":"' + b"A" * 3 * HELD_BYTES_MAX + b'","type":"error","message":"late"}\n\n'
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert scan(*chunks) == (stream, AnswerSummary(False, 0, None, Failure("late")))
    scanner = EventScanner()
    assert scanner.feed(stream[: HELD_BYTES_MAX - 1]) == b""
    assert scanner.feed(stream[HELD_BYTES_MAX - 1 : HELD_BYTES_MAX]) == stream[:HELD_BYTES_MAX]


@pytest.mark.parametrize(("failing", "failure"), FAILURES.values(), ids=FAILURES.keys())
def test_every_shape_of_failure_is_withheld_and_told(failing: bytes, failure: Failure) -> None:
    told = AnswerSummary(complete=False, image_count=0, usage=None, failure=failure)
    assert scan(failing) == (b"", told)
    assert scan(PARTIAL + failing + COMMENT + DONE) == (PARTIAL + COMMENT + DONE, told)
    assert scan(*one_by_one(COMMENT + failing + DONE)) == (COMMENT + DONE, told)
    assert scan(failing.rstrip()) in ((b"", told), (failing.rstrip(), NOTHING))  # cut before its end


def test_a_failure_is_told_beside_a_completed_event_and_the_first_one_counts() -> None:
    first, second = FAILURES["partial failed"], FAILURES["generation failed"]
    assert scan(first[0] + second[0] + COMPLETED) == (COMPLETED, AnswerSummary(True, 1, READ, first[1]))


def test_a_completed_event_with_an_error_is_a_failure() -> None:
    failing = event("image_generation.completed", error={"message": "m"}, usage=USAGE)
    assert scan(failing) == (b"", AnswerSummary(False, 0, READ, Failure("m")))
    late = event("image_generation.completed", b64_json="QQ==", error={"message": "m"}, usage=USAGE)
    assert scan(late) == scan(*one_by_one(late)) == (late, AnswerSummary(False, 0, READ, Failure("m")))


NOTHINGS: list[object] = [
    None, {}, [], "", " ", 0, 7, True, [None], "none", {"message": "", "type": "", "param": "", "code": None},
]  # fmt: skip


@pytest.mark.parametrize("nothing", NOTHINGS, ids=repr)
@pytest.mark.parametrize("early", [True, False])
def test_an_error_that_tells_nothing_goes_out_as_one_that_no_sdk_takes_for_one(nothing: object, early: bool) -> None:
    fields: dict[str, Any] = {"error": nothing, "b64_json": "QQ=="} if early else {"b64_json": "QQ==", "error": nothing}
    stream = event("image_generation.completed", **fields, usage=USAGE)
    passed, reading = scan(stream)
    assert scan(*one_by_one(stream)) == (passed, reading)
    assert reading == WHOLE
    assert len(passed) == len(stream)
    told = json.loads(read_events(passed)[0][1])
    assert told.pop("error") in (None, "", 0)
    assert told == {"type": "image_generation.completed", "b64_json": "QQ==", "usage": USAGE}


def test_the_memory_that_an_answer_lies_in_may_be_fixed() -> None:
    """It is bytes, or a buffer of which only a part is the chunk."""
    stream = COMPLETED + event("image_generation.completed", b64_json="QQ==", error={}, usage=USAGE)
    expected = stream.replace(b'"error": {}', b'"error": ""')
    assert bytes(EventScanner().feed(stream)) == expected
    assert bytes(EventScanner().feed(bytearray(b"junk" + stream + b"junk"), 4 + len(stream), 4)) == expected


def test_an_error_over_several_lines_of_data_passes_as_it_is() -> None:
    stream = b'data: {"type":"image_generation.completed","b64_json":"QQ==","error":{\ndata: "message":""},"x":0}\n\n'
    assert scan(stream)[0] == scan(*one_by_one(stream))[0] == stream


@pytest.mark.parametrize("image", [None, "", 1, {}, False])
@pytest.mark.parametrize("kind", ["completed", "partial_image"])
@pytest.mark.parametrize("named", [True, False])
def test_an_event_without_its_image_is_withheld(image: object, kind: str, named: bool) -> None:
    hollow = event(f"image_generation.{kind}", named=named, b64_json=image, usage=USAGE)
    summary = HOLLOW if kind == "completed" else NOTHING
    assert scan(hollow) == scan(*one_by_one(hollow)) == (b"", summary)


def test_size_and_quality_are_read() -> None:
    _, summary = scan(event("image_edit.completed", b64_json="QQ==", size="1024x1024", quality="low"))
    assert (summary.size, summary.quality) == ("1024x1024", "low")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_nothing_that_passes_is_an_event_without_data(line_end: bytes) -> None:
    first, last = b"id: 1\n" + PARTIAL, b"id: 2\nretry: 5\n" + COMPLETED
    stream = (
        b"retry: 5\n\nid\n\n"
        + first
        + COMMENT
        + b"\n\nevent: x\n\nid: 7\n\n: a\n: b\n\ndata:\n\ndata\n\n"
        + last
        + COMMENT
    )
    passed = first + b": ZENMUX PROCESSING\n: a\n: b\n" + last + b": ZENMUX PROCESSING\n"
    stream, passed = stream.replace(b"\n", line_end), passed.replace(b"\n", line_end)
    for chunks in ([stream], one_by_one(stream), [stream[:100], stream[100:]]):
        assert scan(*chunks) == (passed, WHOLE)


@pytest.mark.parametrize(
    "flood",
    [
        b":\n\n",
        b"\n",
        b"\r",
        b":\r\r",
        b"data: {}\n\n",
        b'data: [1,2,3,4,5,6,7,8,9],\ndata: "a"\n\n',
        b"event: error\n\n",
        b"id: 1\n",
    ],
)
def test_a_flood_is_read_in_slices(flood: bytes) -> None:
    scanner, chunk, feeds, at = EventScanner(), flood * (65_536 // len(flood)), 0, 0
    while at < len(chunk):
        scanner.feed(chunk, len(chunk), at)
        assert scanner.read_to > at
        at, feeds = scanner.read_to, feeds + 1
    assert feeds > len(chunk) / len(flood) / 1000


def test_usage_is_the_sum_of_completed_events_or_unknown() -> None:
    twice = AnswerSummary(True, 2, Usage(input_text_tokens=36, output_image_tokens=392))
    assert scan(COMPLETED + COMPLETED)[1] == twice
    without = event("image_generation.completed", b64_json="QQ==")
    assert scan(COMPLETED + without)[1] == AnswerSummary(True, 2, None)
    assert scan(without + COMPLETED)[1] == AnswerSummary(True, 2, None)


@pytest.mark.parametrize(("cut", "tail"), [(1, b"\n"), (2, b"\n\n")])
def test_a_last_event_without_its_empty_line_is_given_one(cut: int, tail: bytes) -> None:
    stream = COMPLETED[:-cut]
    for chunks in ([stream], one_by_one(stream)):
        assert scan(*chunks) == (stream + tail, WHOLE)
    with_cr = stream.replace(b"\n", b"\r")
    assert scan(with_cr) == (with_cr + b"\n\n", WHOLE)


def test_completeness_shows_as_soon_as_the_image_is_whole() -> None:
    scanner = EventScanner()
    scanner.feed(COMPLETED[:-3])
    assert (scanner.delivers, scanner.summary()) == (False, NOTHING)
    scanner.feed(COMPLETED[-3:-2])
    assert (scanner.delivers, scanner.summary()) == (True, WHOLE)
    scanner.feed(COMPLETED[-2:])
    assert (scanner.delivers, scanner.summary()) == (True, WHOLE)


@pytest.mark.parametrize("cut", [3, 100, 20_000, len(COMPLETED) - 20, len(COMPLETED) - 5])
def test_a_cut_stream_is_not_complete(cut: int) -> None:
    stream = PARTIAL + COMPLETED[:-cut]
    passed = stream if cut < 30_000 else PARTIAL  # until its image begins, an event is held
    assert scan(stream) == (passed, NOTHING)


def test_a_byte_order_mark_is_skipped_and_passes() -> None:
    mark = b"\xef\xbb\xbf"
    for stream, summary in ((mark + COMPLETED, WHOLE), (mark + COMMENT + COMPLETED, WHOLE), (mark, NOTHING)):
        assert scan(stream) == scan(*one_by_one(stream)) == (stream, summary)
    failing, failure = FAILURES["event: error with an error object"]
    assert scan(mark + failing)[1].failure == failure


def test_a_comment_may_follow_only_between_events() -> None:
    scanner = EventScanner()
    assert scanner.at_boundary
    for chunk, at_boundary in (
        (COMMENT[:5], False),
        (COMMENT[5:-1], True),
        (COMMENT[-1:], True),
        (PARTIAL[:20], True),  # held: nothing of it was put out
        (PARTIAL[20:50], True),
        (PARTIAL[50:-1], False),
        (PARTIAL[-1:], True),
        (b"event: err", True),
        (b"or\ndata: x", True),  # withheld
        (b"\n\n", True),
        (b'event: x\n\nevent: image_edit.completed\ndata: {"b64_json":"A', False),
    ):
        scanner.feed(chunk)
        assert scanner.at_boundary is at_boundary, chunk


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Streams of all sorts of events and junk, whole or cut."""
    pieces = [
        COMMENT,
        DONE,
        event("image_generation.partial_image", b64_json="AB" * 9),
        event("image_edit.completed", usage=USAGE),
        event("image_generation.completed", named=False, b64_json="AB"),
        event("image_generation.completed", b64_json="A\\", error={"message": "m"}),
        event("image_generation.completed", b64_json="A", error={"message": "", "code": None}),
        b'data: {"type":"image_edit.completed","error":{"message":""},"b64_json":"AB","error":[],"error":\n\n',
        b"id: 3\n",
        event("ping", a=[1, {"error": 2}]),
        b"data: {\n",
        b"event: image_generation.completed\n",
        b"data",
        b":\n",
        b"\n",
        b"junk: 1",
        b"\xef\xbb\xbf",
        b"\x00",
        *(failing for failing, _ in FAILURES.values()),
    ]
    text = b"".join(draw(st.lists(st.sampled_from(pieces), max_size=6)))
    text = text.replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])))
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@given(st.data())
def test_where_the_bytes_are_cut_makes_no_difference(data: st.DataObject) -> None:
    text = data.draw(streams())
    whole = scan(text)
    assert scan(*one_by_one(text)) == whole
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    assert scan(*(text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True))) == whole


def read_events(stream: bytes) -> list[tuple[str, str]]:
    """Name and data of each event, as a client reads them."""
    events, name, data = [], "", list[str]()
    for line in stream.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        field, _, value = line.partition(":")
        if not line:
            if data or name:
                events.append((name, "\n".join(data)))
            name, data = "", []
        elif field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
    return events


@given(st.data())
def test_an_error_can_always_be_told_where_a_stream_was_cut(data: st.DataObject) -> None:
    """Whatever was put out by then, the client finds a whole last event with the error in it, or the error's own."""
    stream = data.draw(
        st.sampled_from(
            [
                PARTIAL,
                COMPLETED,
                b"id: 1\n" + PARTIAL + COMMENT + COMPLETED,
                event("image_edit.completed", named=False, b64_json="QQ=="),
                event("image_edit.completed", b64_json="QQ==", error={"message": "", "code": None}),
            ]
        )
    ).replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    scanner = EventScanner()
    out = bytes(scanner.feed(stream[: data.draw(st.integers(0, len(stream)))]))
    error = b'"error":{"code":"cut"}'
    closing = scanner.closing(error)
    out += closing
    events = read_events(out + b"event: error\ndata: {" + error + b"}\n\n")
    assert events[-1] == ("error", '{"error":{"code":"cut"}}')
    for _, text in events:
        json.loads(text or "{}")
    if error in closing:
        assert json.loads(events[-2][1])["error"] == {"code": "cut"}


@pytest.mark.parametrize(
    "endless",
    [
        b"QUJD" * 16_384,
        b"data: {}\n" * 1000,
        b"event: x\n" * 1000,
        b"event: image_generation.completed\n\n" * 200,
        b"\r" * 500,
        b"e" * 65_536,
        b":" * 65_536,
        b'data: {"error":{"message":"' + b"x" * 60_000 + b'"}}\n\n',
    ],
    ids=lambda endless: endless[:12].decode(),
)
@pytest.mark.parametrize("begin", [b"", b'event: image_edit.completed\ndata: {"b64_json":"', b"event: error\ndata: "])
def test_memory_is_bounded_whatever_comes(begin: bytes, endless: bytes) -> None:
    scan(begin, endless)
    tracemalloc.start()
    try:
        scanner = EventScanner()
        scanner.feed(begin)
        for _ in range(8):
            scanner.feed(endless)
        scanner.summary()
        # Only what this room allocates: other threads of a test process allocate, too.
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/app/images/*")])
        assert sum(statistic.size for statistic in held.statistics("filename")) < 64 * 1024
    finally:
        tracemalloc.stop()


@given(st.lists(st.integers(1, 40_000), max_size=4))
def test_the_bytes_of_partial_images_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    large = event("image_edit.partial_image", b64_json=IMAGE * 2, partial_image_index=1)
    stream = COMMENT + PARTIAL + large.replace(b"\n", b"\r\n") + COMPLETED + DONE
    scanner, at = EventScanner(), 0
    for cut in [*cuts, len(stream)]:
        chunk, at = stream[at : at + cut], at + cut
        scanner.feed(chunk)
        while scanner.read_to < len(chunk):
            scanner.feed(chunk, len(chunk), scanner.read_to)
    assert scanner.partials == [len(PARTIAL) - 1, len(large) + 3 - 1]


def test_the_bytes_of_so_many_partial_images_are_kept_and_no_more() -> None:
    scanner = EventScanner()
    for _ in range(PARTIALS_MAX + 9):
        scanner.feed(event("image_generation.partial_image", b64_json="AAAA"))
    assert len(scanner.partials) == PARTIALS_MAX
