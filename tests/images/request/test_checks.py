"""The words of a refusal: types, lists, lengths, and that nothing a caller sends breaks the message."""

import pytest

from app.errors import InvalidRequest
from app.images.request.checks import check_choice, check_integer, check_sound, check_text, listed, shown, wrong_type


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["a"], "'a'"), (["a", "b"], "'a' and 'b'"), (["a", "b", "c"], "'a', 'b', and 'c'")],
)
def test_words_are_listed_as_openai_lists_them(words: list[str], sentence: str) -> None:
    assert listed(words) == sentence


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.0, "a decimal number"),
        ("1", "a string"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_types_have_json_names(value: object, named: str) -> None:
    assert wrong_type("x", "a unicorn", value).message == (
        f"Invalid type for 'x': expected a unicorn, but got {named} instead."
    )


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("plain", "plain"),
        ("狐 é", "狐 é"),
        ("a\r\nb\tc", "a??b?c"),
        ("\ud83d", "?"),
        ("\u202e", "?"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 64 + "…"),
    ],
)
def test_a_callers_text_is_made_fit_to_show(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown


def test_length_is_counted_in_characters_not_bytes() -> None:
    assert check_text("prompt", "🦊🦊", longest=2) == "🦊🦊"
    with pytest.raises(InvalidRequest, match="maximum length 2, but got a string with length 3"):
        check_text("prompt", "🦊🦊🦊", longest=2)


def test_a_pair_of_surrogates_is_not_half_of_one() -> None:
    assert check_text("prompt", "\U0001f98a", longest=5)
    with pytest.raises(InvalidRequest, match="half of a surrogate pair"):
        check_text("prompt", "\ud83e", longest=5)


def test_a_number_too_long_to_print_is_described() -> None:
    with pytest.raises(InvalidRequest, match="but got a number of more than 18 digits instead"):
        check_integer("n", 10**5000, 1, 10)


def test_without_choices_any_short_word_is_taken() -> None:
    assert check_choice("quality", "whatever", ()) == "whatever"
    with pytest.raises(InvalidRequest):
        check_choice("quality", "x" * 65, ())


@pytest.mark.parametrize("value", [None, True, 0, -(2**63), 2**63 - 1, 1.5, "é", [], {"a": [{"b": None}]}])
def test_sound_json(value: object) -> None:
    check_sound("x", value)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "a number JSON cannot carry"),
        ([float("-inf")], "a number JSON cannot carry"),
        (2**63, "over 64 bits"),
        ({"a": 10**5000}, "over 64 bits"),
        ("\udfff", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        (nested(33), "nested too deeply"),
        (nested(900), "nested too deeply"),
    ],
)
def test_what_no_json_reader_could_take(value: object, why: str) -> None:
    check_sound("x", nested(32))
    with pytest.raises(InvalidRequest, match=why) as caught:
        check_sound("x", value)
    assert (caught.value.param, caught.value.code) == ("x", "invalid_value")
