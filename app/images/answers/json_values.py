"""Single JSON values: decodes a captured one, and completes one that was cut. Keeps nothing."""

import json
import re

SCALAR_GRAMMAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_CUT_ESCAPE = re.compile(rb"\\u[0-9a-fA-F]{0,3}\Z")
UNREADABLE = object()  # stands for a value that was too long, or is malformed inside


def decode(captured: bytearray | None) -> object:
    """The captured value; UNREADABLE if it is None, too long, or malformed."""
    if captured is None:
        return UNREADABLE
    try:
        return json.loads(captured)
    except (ValueError, RecursionError):
        return UNREADABLE


def decode_key(captured: bytearray | None) -> str:
    """The key between its quotes; "" if it cannot be one that is needed."""
    if captured is not None and b"\\" not in captured:
        return captured.decode("utf-8", "replace")
    key = decode(captured and bytearray(b'"') + captured + b'"')
    return key if isinstance(key, str) else ""


def match_end(pattern: re.Pattern[bytes], chunk: bytes | bytearray, start: int, stop: int) -> int:
    """Where what matches at `start` ends: there, if nothing does."""
    match = pattern.match(chunk, start, stop)
    return match.end() if match else start


def nothing_of_length(length: int) -> bytes:
    """A value of so many bytes that JavaScript and Python take for nothing: {} is something to one of them."""
    word = b"null" if length >= 4 else b'""' if length >= 2 else b"0"
    return word.ljust(length)


def rest_of_escape(tail: bytes) -> bytes:
    """What completes a \\uXXXX that was cut. If there was none, zeros do no harm."""
    cut = _CUT_ESCAPE.search(tail)
    return b"0" * (6 - len(cut[0])) if cut else b""


def rest_of_scalar(scalar: bytes) -> bytes:
    """What completes a number, true, false or null."""
    for word in (b"true", b"false", b"null"):
        if word.startswith(scalar):
            return word[len(scalar) :]
    return b"" if SCALAR_GRAMMAR.fullmatch(scalar) else b"0"
