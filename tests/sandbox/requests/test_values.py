"""Single values, and the words of their refusals."""

from typing import Any

import pytest

from app.sandbox.requests.refusals import SandboxRefusal
from app.sandbox.requests.values import boolean, from_form, integer, kind_of, word


def refusal_of(call: Any) -> dict[str, Any]:
    with pytest.raises(SandboxRefusal) as refused:
        call()
    error = refused.value.body["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"), (True, "a boolean"), (2, "an integer"), (1.5, "a decimal number"), ("2", "a string"),
        ([], "an array"), ({}, "an object"),
    ],
)  # fmt: skip
def test_json_values_have_names(value: object, words: str) -> None:
    assert kind_of(value) == words


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (10, 10), (None, 7)])
def test_integers_within_bounds_pass(value: object, expected: int) -> None:
    assert integer({"n": value}, "n", 1, 10, 7) == expected


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (0, "integer_below_min_value",
         "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead."),
        (11, "integer_above_max_value",
         "Invalid 'n': integer above maximum value. Expected a value <= 10, but got 11 instead."),
        (1.5, "invalid_type", "Invalid type for 'n': expected an integer, but got a decimal number instead."),
        ("2", "invalid_type", "Invalid type for 'n': expected an integer, but got a string instead."),
        (True, "invalid_type", "Invalid type for 'n': expected an integer, but got a boolean instead."),
    ],
)  # fmt: skip
def test_other_integers_are_refused(value: object, code: str, message: str) -> None:
    error = refusal_of(lambda: integer({"n": value}, "n", 1, 10, 7))
    assert (error["code"], error["message"], error["param"]) == (code, message, "n")


def test_booleans() -> None:
    assert boolean({"stream": True}, "stream")
    assert not boolean({"stream": None}, "stream")
    assert not boolean({}, "stream")
    assert refusal_of(lambda: boolean({"stream": "yes"}, "stream"))["code"] == "invalid_type"


def test_words() -> None:
    words = ("low", "high", "auto")
    assert word({"quality": "low"}, "quality", words, "auto") == "low"
    assert word({}, "quality", words, "auto") == "auto"
    assert word({"quality": None}, "quality", words, "auto", null_is_default=True) == "auto"
    assert word({"quality": "any"}, "quality", (), "auto") == "any"
    assert refusal_of(lambda: word({"quality": None}, "quality", words, "auto"))["code"] == "invalid_type"
    error = refusal_of(lambda: word({"quality": "ultra"}, "quality", words, "auto"))
    assert error["message"] == "Invalid value: 'ultra'. Supported values are: 'low', 'high', and 'auto'."


def test_forms_hold_text_that_stands_for_values() -> None:
    fields = {"n": "2", "stream": "false", "prompt": "12", "quality": "low"}
    assert from_form(fields, ("n", "partial_images"), ("stream",)) == {
        "n": 2, "stream": False, "prompt": "12", "quality": "low",
    }  # fmt: skip
    error = refusal_of(lambda: from_form({"n": "abc"}, ("n",), ()))
    assert error["message"].endswith("got a string value that could not be converted into an integer.")
