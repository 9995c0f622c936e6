"""A JSON answer is read while it passes: usage, images, failure, and whether it is whole. Nothing of it is kept."""

import base64
import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.images.answers.scanner import JsonScanner, read_failure
from app.images.cost.usage import AnswerSummary, Failure, Usage

USAGE = {
    "total_tokens": 214,
    "input_tokens": 18,
    "output_tokens": 196,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 8},
    "output_tokens_details": {"image_tokens": 196, "text_tokens": 0},
}
READ = Usage(input_text_tokens=10, input_image_tokens=8, output_text_tokens=0, output_image_tokens=196)
IMAGE = base64.b64encode(bytes(range(256)) * 40).decode()


def scan(text: bytes, size: int = 0) -> AnswerSummary:
    """What is read of pieces that come in one memory, each over the one before it."""
    scanner = JsonScanner()
    step = size or max(1, len(text))
    memory = bytearray(step)
    for at in range(0, len(text), step):
        piece = text[at : at + step]
        memory[:] = b'"' * step
        memory[: len(piece)] = piece
        read_to = 0
        while read_to < len(piece):
            read_to = scanner.feed(memory, len(piece), read_to)
    return scanner.summary()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 64, 4096])
def test_an_answer_is_read_however_it_is_cut(size: int) -> None:
    answer = {"created": 17, "data": [{"b64_json": IMAGE}, {"url": "https://x", "b64_json": None}], "usage": USAGE}
    assert scan(json.dumps(answer).encode(), size) == AnswerSummary(complete=True, image_count=2, usage=READ)
    pretty = json.dumps(dict(reversed(answer.items())), indent=2).encode()
    assert scan(pretty, size) == AnswerSummary(complete=True, image_count=2, usage=READ)


def test_only_items_with_an_image_are_counted() -> None:
    with_image = b'{"b64_json":"A"},{"url":"u","b64_json":"A"}'
    without = b'{"b64_json":null},{"revised_prompt":"a"},{"a":{"url":"u"}},"url",[],[{"url":"u"}]'
    assert scan(b'{"data":[%b,%b]}' % (without, with_image)).image_count == 2
    assert scan(b'{"data":[{"b64_json":"","url":""},{"b64_json":1},{"url":true},{"url":{"a":"b"}}]}').image_count == 0
    assert scan(b'{"data":{"b64_json":"A"},"items":[{"b64_json":"A"}]}').image_count == 0


def test_an_answer_may_carry_no_usage_or_a_useless_one() -> None:
    for usage in (b"null", b"{}", b"[1]", b'"many"', b'{"input_tokens":-1,"output_tokens":1}', b'{"input_tokens":1}'):
        assert scan(b'{"data":[{"url":"u"}],"usage":%b}' % usage) == AnswerSummary(True, 1, None)
    assert scan(b'{"data":[{"url":"u"}]}') == AnswerSummary(True, 1, None)


def test_a_usage_over_the_bound_is_no_usage() -> None:
    padded = json.dumps({"usage": {**USAGE, "note": "x" * 5000}, "data": [{"url": "u"}]}).encode()
    assert scan(padded) == scan(padded, 100) == AnswerSummary(complete=True, image_count=1, usage=None)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"data":[{"url":"u"}],', b'{"data":[{"url":"u"}]}x', b"<html></html>"])
def test_what_is_no_whole_object_is_not_complete(text: bytes) -> None:
    assert scan(text).complete is scan(text, 1).complete is False


def test_completeness_and_malformation_show_at_once() -> None:
    scanner = JsonScanner()
    scanner.feed(b' {"data":[]')
    assert (scanner.ended, scanner.malformed) == (False, False)
    scanner.feed(b"}\n")
    assert (scanner.ended, scanner.malformed) == (True, False)
    scanner.feed(b"<")
    assert (scanner.ended, scanner.malformed) == (False, True)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ('{"message":"m","type":"t","param":"p","code":"c"}', Failure("m", "t", "c", "p")),
        ('{"message":"m","type":"t","param":null,"code":429}', Failure("m", "t", "429", None)),
        ('{"code":""}', None),
        ("{}", None),
        ('{"message":"","type":"","param":"","code":null}', None),
        ('{"code":0,"message":" "}', None),
        ('{"code":"x"}', Failure("The provider reported an error.", None, "x")),
        ('{"msg":"m"}', Failure("m")),
        ('[{"message":""},{"message":"m"}]', Failure("m")),
        ('"broken"', Failure("broken")),
        ('{"message":"%s"}' % ("x" * 5000), Failure("The provider reported an error.")),
        ("null", None),
        ("false", None),
        ('""', None),
        ("[]", None),
    ],
)
def test_an_error_in_the_answer_is_a_failure(error: str, failure: Failure | None) -> None:
    text = b'{"error":%b}' % error.encode()
    assert scan(text) == scan(text, 3) == AnswerSummary(complete=True, image_count=0, usage=None, failure=failure)


def test_an_answer_without_an_image_may_say_why() -> None:
    assert scan(b'{"code":500,"message":"system busy","data":null}').remark == "system busy"
    assert scan(b'{"data":[{"url":"u"}],"message":"ok"}').remark is None


@pytest.mark.parametrize("flood", [b"1,", b"{},", b'"\\\\",', b'{"b64_json":"A"},', b" \n"])
def test_a_flood_is_read_in_slices(flood: bytes) -> None:
    scanner, chunk = JsonScanner(), b'{"data":[' + flood * 100_000
    at = scanner.feed(chunk)
    feeds = 1
    while at < len(chunk):
        feeds, after = feeds + 1, scanner.feed(chunk, len(chunk), at)
        assert after > at
        at = after
    assert feeds > 10 or flood == b" \n"


def test_an_absent_error_is_no_failure() -> None:
    assert read_failure(None) is None


_TEXTS = st.sampled_from(["", "b64_json", "url", "usage", "error", "data", "message", "code", 'a"\\', "é", "\ud800"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.just(USAGE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@example({"error": {"message": -(2**63) - 1, "code": 2**64}}, False, "")
@given(
    st.dictionaries(_TEXTS, _VALUES, max_size=5), st.booleans(), st.sampled_from(["", " ", "}", ',"data":[{"url":1}]'])
)
def test_a_small_answer_read_at_once_says_what_it_says_byte_by_byte(
    fields: dict[str, object], is_escaped: bool, extra: str
) -> None:
    text = json.dumps(fields, ensure_ascii=is_escaped).encode("utf-8", "surrogatepass")
    for answer in (text + extra.encode(), text[:-1] + extra.encode() + b"}", text[: len(text) // 2]):
        assert scan(answer) == scan(answer, 1)


def hostile() -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """Answers that never end, each a beginning, what is repeated, and an end."""
    yield "image", b'{"data":[{"b64_json":"', b"QUJD" * 16_384, b'"}]}'
    yield "escapes", b'{"data":[{"b64_json":"', b"\\\\" * 4096, b'"}]}'
    yield "key", b'{"', b"k" * 65_536, b'":1}'
    yield "image key", b'{"data":[{"', b"k" * 65_536, b'":1}]}'
    yield "usage", b'{"usage":{"', b"u" * 65_536, b'":1}}'
    yield "error", b'{"error":[', b"[]," * 2000, b"1]}"
    yield "number", b'{"usage":', b"1" * 65_536, b"}"
    yield "nesting", b'{"a":', b"[" * 65_536, b""
    yield "blanks", b"{", b" " * 65_536, b"}"
    yield "fields", b"{", b'"usage":{"input_tokens":1,"output_tokens":1},' * 400, b'"a":1}'
    yield "items", b'{"data":[', b'{"b64_json":"A"},' * 1000, b"{}]}"
    yield "junk", b"{}", b"x" * 65_536, b""


@pytest.mark.parametrize(
    ("begin", "middle", "end"), [case[1:] for case in hostile()], ids=[case[0] for case in hostile()]
)
def test_memory_is_bounded_whatever_comes(begin: bytes, middle: bytes, end: bytes) -> None:
    scan(begin + middle + end)  # what is made once, such as caches of the json module, is not counted
    tracemalloc.start()
    try:
        scanner = JsonScanner()
        scanner.feed(begin)
        for _ in range(20):
            scanner.feed(middle)
        scanner.feed(end)
        scanner.summary()
        # Of 1.3 MB that came; other threads of a test process allocate a little, too.
        assert tracemalloc.get_traced_memory()[1] < 256 * 1024
    finally:
        tracemalloc.stop()
