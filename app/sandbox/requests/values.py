"""The checks of single values, worded as OpenAI words them. Pure; knows no model."""

import re
from collections.abc import Mapping, Sequence

from app.sandbox.requests.refusals import openai

_DIGITS = re.compile(r"-?[0-9]{1,9}")


def kind_of(value: object) -> str:
    """What a JSON value is, with its article, as in `but got an array instead`."""
    if value is None:
        return "null"
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"), (int, "an integer"), (float, "a decimal number"), (str, "a string"), (list, "an array"),
    )  # fmt: skip
    return next((words for kind, words in kinds if isinstance(value, kind)), "an object")


def integer(fields: Mapping[str, object], name: str, low: int, high: int, default: int) -> int:
    """The whole number `name`, from `low` to `high`; null is the default."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if value < low:
        raise openai(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {low}, but got {value} instead.",
            code="integer_below_min_value", param=name,
        )  # fmt: skip
    if value > high:
        raise openai(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {high}, but got {value} instead.",
            code="integer_above_max_value", param=name,
        )  # fmt: skip
    return value


def boolean(fields: Mapping[str, object], name: str) -> bool:
    """The boolean `name`; null and absence are false."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return bool(value)


def word(
    fields: Mapping[str, object], name: str, words: Sequence[str], default: str, *, null_is_default: bool = False
) -> str:
    """One of `words`, any word when there are none; the default when absent."""
    value = fields.get(name, default)
    if value is None and null_is_default:
        return default
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if words and value not in words:
        raise wrong_word(name, value, words)
    return value


def wrong_type(name: str, expected: str, value: object) -> Exception:
    """OpenAI's refusal of a value of the wrong type."""
    return openai(
        f"Invalid type for '{name}': expected {expected}, but got {kind_of(value)} instead.",
        code="invalid_type", param=name,
    )  # fmt: skip


def wrong_word(name: str, value: str, words: Sequence[str]) -> Exception:
    """OpenAI's refusal of a word it does not know, with those it does."""
    listed = [f"'{one}'" for one in words]
    last = listed[-1] if len(listed) < 2 else ", ".join(listed[:-1]) + f", and {listed[-1]}"
    return openai(f"Invalid value: '{value}'. Supported values are: {last}.", code="invalid_value", param=name)


def from_form(fields: Mapping[str, str], integers: Sequence[str], booleans: Sequence[str]) -> dict[str, object]:
    """Form fields, which are all text, as the JSON values they stand for."""
    values: dict[str, object] = dict(fields)
    for name in integers:
        text = fields.get(name)
        if text is None:
            continue
        if not _DIGITS.fullmatch(text):
            raise openai(
                f"Invalid type for '{name}': expected an integer, but got a string value that could not be converted "
                "into an integer.", code="invalid_type", param=name,
            )  # fmt: skip
        values[name] = int(text)
    for name in booleans:
        if fields.get(name) in ("true", "false"):
            values[name] = fields[name] == "true"
    return values
