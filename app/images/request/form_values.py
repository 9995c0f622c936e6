"""The fields of a form, which are all text, as the JSON values they stand for. Pure; checks no rule of a model."""

import re
from collections.abc import Mapping

from app.images.request.checks import refusal

_INTEGERS = frozenset({"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"})
_BOOLEANS = frozenset({"stream"})
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}(\.0{1,6})?")
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def typed_fields(texts: Mapping[str, str]) -> dict[str, object]:
    """Empty fields are absent ones, and so is `n` of 0: Go clients send what nobody set. Raises InvalidRequest."""
    fields: dict[str, object] = {}
    for name, text in texts.items():
        if text == "" or (name == "n" and text == "0"):
            continue
        if name in _INTEGERS:
            fields[name] = _integer(name, text.strip())
        elif name in _BOOLEANS:
            fields[name] = _boolean(name, text.strip())
        else:
            fields[name] = text
    return fields


def _integer(name: str, text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise _not_a("an integer", name)
    return int(text.partition(".")[0])


def _boolean(name: str, text: str) -> bool:
    truth = _TRUTHS.get(text.lower())
    if truth is None:
        raise _not_a("a boolean", name)
    return truth


def _not_a(kind: str, name: str) -> Exception:
    message = f"expected {kind}, but got a string value that could not be converted into {kind}."
    return refusal(name, "invalid_type", f"Invalid type for '{name}': {message}")
