"""Fields come out of a JSON object as json.loads would read them, wherever its bytes are cut and wherever it ends."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.answers.json_fields import VALUE_BYTES_MAX, FieldScanner
from app.images.answers.json_values import UNREADABLE

NAMES = frozenset({"usage", "error"})
KEYS = st.sampled_from(["usage", "error", "data", "b64_json", "url", "a", 'q"\\', "é\n", "x" * 60])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet='ab"\\{}[]:,\n\u20ac\U0001f600', max_size=12)
    | st.sampled_from(['"', "\\", '\\"', "}", "]", '{"usage":1}', "\u20ac\U0001f600"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def write(value: Any, random: Random) -> str:
    """JSON text of `value` as some stranger might write it: blanks, escapes, any key order."""
    blank = random.choice(["", "", " ", "\n\t", "\r\n"])
    if isinstance(value, dict):
        pairs = [f"{write(key, random)}{blank}:{blank}{write(inner, random)}" for key, inner in value.items()]
        random.shuffle(pairs)
        return "{" + blank + f",{blank}".join(pairs) + blank + "}"
    if isinstance(value, list):
        return "[" + blank + f"{blank},".join(write(inner, random) for inner in value) + blank + "]"
    if isinstance(value, str) and random.random() < 0.3:
        units = value.encode("utf-16-be").hex()
        return '"' + "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"'
    return json.dumps(value, ensure_ascii=random.random() < 0.5)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """An object whose fields often have the names that matter, at every depth."""
    fields = draw(st.dictionaries(KEYS, VALUES, max_size=5))
    if draw(st.booleans()):
        fields["data"] = draw(st.lists(st.dictionaries(KEYS, SCALARS, max_size=4), max_size=4))
    random = draw(st.randoms(use_true_random=False))
    return random.choice(["", " \n"]).encode() + write(fields, random).encode() + random.choice(["", "\r\n "]).encode()


@st.composite
def cuts(draw: st.DrawFn, text: bytes) -> list[bytes]:
    """`text` in pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def scan(*chunks: bytes) -> FieldScanner:
    scanner = FieldScanner(NAMES)
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner


def seen(scanner: FieldScanner) -> tuple[object, ...]:
    return scanner.closed, scanner.broken, scanner.image_count, scanner.get("usage"), scanner.get("error")


def image_count(document: dict[str, Any]) -> int:
    data = document.get("data")
    if not isinstance(data, list):
        return 0
    items = [item for item in data if isinstance(item, dict)]
    return sum(any(isinstance(item.get(key), str) and item[key] != "" for key in ("b64_json", "url")) for item in items)


@given(documents())
def test_it_reads_what_json_loads_reads(text: bytes) -> None:
    document = json.loads(text)
    scanner = scan(text)
    assert scanner.closed
    assert scanner.image_count == image_count(document)
    for name in NAMES:
        assert scanner.get(name) == document.get(name)


@given(st.data())
def test_where_the_bytes_are_cut_makes_no_difference(data: st.DataObject) -> None:
    text = data.draw(documents())
    text = text[: data.draw(st.integers(0, len(text)))] + data.draw(
        st.sampled_from([b"", b"", b"x", b"}", b"{}", b"\0"])
    )
    whole = seen(scan(text))
    assert seen(scan(*(text[at : at + 1] for at in range(len(text))))) == whole
    assert seen(scan(*data.draw(cuts(text)))) == whole


@given(st.data())
def test_a_document_that_ends_early_or_goes_on_is_not_closed(data: st.DataObject) -> None:
    text = data.draw(documents()).strip()
    assert not scan(text[: data.draw(st.integers(0, len(text) - 1))]).closed
    assert not scan(text + data.draw(st.sampled_from([b"x", b",", b"}", b"{}", b'"', b"1"]))).closed


@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,\\ \n0-1e.tfnul', max_size=30).map(str.encode))
def test_it_closes_only_what_is_an_object(text: bytes) -> None:
    if scan(text).closed:
        # Only what stands inside strings may be wrong: take it out, and a JSON parser must agree.
        assert isinstance(json.loads(emptied(text)), dict)


def emptied(text: bytes) -> str:
    out, inside, escaped = "", False, False
    for char in text.decode("latin-1"):
        if not inside or (char == '"' and not escaped):
            out += char
            inside ^= char == '"'
        escaped = inside and char == "\\" and not escaped
    return out


@given(st.data())
def test_closing_completes_a_cut_document_up_to_one_more_field(data: st.DataObject) -> None:
    text = data.draw(documents()).strip()
    begun = text[: data.draw(st.integers(0, len(text) - 1))]
    closing = scan(*data.draw(cuts(begun))).closing()
    assert closing is not None
    completed = json.loads((begun + closing + b',"error":{"code":"x"}}').decode("utf-8", "replace"))
    assert completed["error"] == {"code": "x"}


@pytest.mark.parametrize("text", [b"{}", b'{"a":1} ', b"x", b'{"a" 1', b"[1]"])
def test_a_whole_or_malformed_document_has_no_closing(text: bytes) -> None:
    assert scan(text).closing() is None


@pytest.mark.parametrize(
    "text",
    [
        b"", b"  ", b"[]", b'"usage"', b"1", b"null", b"{", b"}", b"{]", b"[}", b'{"a"}', b'{"a":}', b'{"a":1,}',
        b"{,}", b'{"a":[1,]}', b'{"a":[,1]}', b'{"a":1 2}', b'{"a":01}', b'{"a":tru}', b'{"a":truee}', b'{"a":+1}',
        b'{"a":1.}', b'{"a":.5}', b'{"a":NaN}', b'{"a":-}', b'{a:1}', b"{'a':1}", b'{"a":"b}', b'{"a":"\\"}',
        b'{"a":1}}', b'{"a":1}{', b'{"a"::1}', b'{"a":1,,"b":2}', b'{"a":{"b":1]}', b'{"a":1;}', b'{"a":\x0b1}',
        b"\x00", b'{"a":#}', b"<html></html>",
    ],
)  # fmt: skip
def test_malformed_text_never_closes(text: bytes) -> None:
    assert not scan(text).closed
    assert not scan(*(bytes((byte,)) for byte in text)).closed


def test_the_last_of_equal_keys_wins() -> None:
    scanner = scan(b'{"usage":1,"data":[{"url":"a"},{"url":"b","url":null}],"usage":2}')
    assert (scanner.get("usage"), scanner.image_count) == (2, 1)
    assert scan(b'{"data":[{"url":"a"}],"data":null}').image_count == 0


def test_fields_of_the_same_name_elsewhere_are_not_taken() -> None:
    scanner = scan(b'{"a":{"usage":1},"b":[{"usage":2}],"c":"usage","data":[{"usage":3,"error":4}],"":{"usage":5}}')
    assert (scanner.get("usage"), scanner.get("error")) == (None, None)


def test_a_field_is_told_when_it_ends() -> None:
    told: list[tuple[str, int, object]] = []
    scanner = FieldScanner(NAMES, lambda name, start, end: told.append((name, end - start, scanner.get(name))))
    for byte in b'{"error":null,"a":{"usage":0},"usage":{"x":[1]},"usage":':
        scanner.feed(bytes((byte,)))
    assert told == [("error", 4, None), ("usage", 9, {"x": [1]})]


def test_it_is_known_how_much_of_a_value_has_come() -> None:
    scanner = FieldScanner(NAMES)
    seen = list[int]()
    for byte in b'{"error":{"a":1},"x":{"error":2}}':
        scanner.feed(bytes((byte,)))
        seen.append(scanner.bytes_of("error"))
    assert seen == [0] * 9 + [1, 2, 3, 4, 5, 6] + [0] * 18


@pytest.mark.parametrize("value", [b'"%s"', b"[%s]", b"%s"])
def test_a_value_over_the_bound_is_unreadable(value: bytes) -> None:
    assert scan(b'{"usage":%s}' % (value % (b"1" * (VALUE_BYTES_MAX + 1)))).get("usage") in (UNREADABLE, None)
    fits = b'"%s"' % (b"1" * (VALUE_BYTES_MAX - 2))
    assert scan(b'{"usage":%s}' % fits).get("usage") == "1" * (VALUE_BYTES_MAX - 2)


def test_nesting_is_bounded() -> None:
    assert scan(b'{"a":' + b"[" * 99 + b"]" * 99 + b"}").closed
    assert not scan(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}").closed


def test_a_part_of_a_chunk_is_read_in_place() -> None:
    scanner = FieldScanner(NAMES)
    scanner.feed(b'xx{"usage":"ab', 2)
    scanner.feed(b'""cd"}""', 2, 6)
    assert (scanner.get("usage"), scanner.closed) == ("abcd", True)
