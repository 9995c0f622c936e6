"""What completes a cut value makes it a valid one."""

import json

import pytest

from app.images.answers.json_values import nothing_of_length, rest_of_escape, rest_of_scalar


@pytest.mark.parametrize("whole", ["true", "false", "null", "-12.5e+3", "0"])
def test_a_cut_word_or_number_becomes_a_value(whole: str) -> None:
    for at in range(1, len(whole) + 1):
        json.loads(whole[:at].encode() + rest_of_scalar(whole[:at].encode()))


def test_a_cut_escape_becomes_a_letter() -> None:
    for cut in (b"a", b"\\u", b"\\u0", b"\\u00", b"\\u004", b"\\u0041"):
        json.loads(b'"' + cut + rest_of_escape(cut) + b'"')


@pytest.mark.parametrize("length", range(1, 8))
def test_nothing_is_nothing_at_any_length(length: int) -> None:
    assert len(nothing_of_length(length)) == length
    assert json.loads(nothing_of_length(length)) in (None, "", 0)
