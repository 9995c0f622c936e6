"""Base64 out of a JSON string, however it is cut."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.answers.base64_text import Base64Text


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


def decoded(parts: list[bytes]) -> bytes:
    text = Base64Text()
    found = b"".join([text.decode(part) for part in parts])
    assert text.is_whole
    return found


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=12), st.sampled_from(["", "/", "n"]))
def test_it_is_what_was_encoded(data: bytes, cuts: list[int], escapes: str) -> None:
    text = base64.b64encode(data)
    if escapes == "/":
        text = text.replace(b"/", b"\\/")
    elif escapes == "n":
        text = b"\\r\\n".join([text[start : start + 20] for start in range(0, len(text), 20)])
    assert base64.b64decode(json.loads(b'"' + text + b'"')) == data
    assert decoded(cut(text, cuts)) == data


@pytest.mark.parametrize(
    "text", [b"https://example.com", b"AAAA=", b"AA==AAAA", b"AAA\\u0041", b"AA A", b"AAA-", b"\xff"]
)
def test_what_is_no_base64_is_refused_and_given_back(text: bytes) -> None:
    for parts in ([text], [text[:1], text[1:]], [bytes([letter]) for letter in text]):
        reader = Base64Text()
        got = b""
        try:
            for part in parts:
                got += reader.decode(part)
            assert not reader.is_whole
        except ValueError:
            pass
        given_back = base64.b64encode(got) + reader.rest
        assert text.startswith(given_back)
        assert len(given_back) >= 1


def test_a_cut_one_is_not_whole() -> None:
    reader = Base64Text()
    assert reader.decode(b"AAAAA") == b"\0\0\0"
    assert not reader.is_whole
