"""Reads a JSON object out of a request: bounded, strict, every fault a clear error. Knows nothing of images."""

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

from starlette.requests import Request

from app.api.headers import header
from app.errors import BodyTooLarge, ClientLeft, InvalidRequest, UnsupportedContentType

_DEPTH_MAX = 32
_DIGITS_MAX = 100  # of an integer: making one of many digits is not linear
_PARTS_MAX = 10_000  # names and values: hundreds of times more than any real request has
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # cannot fail and never backtracks: linear
_OPEN = ord("[")
_OPEN_AND_CLOSE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_REMEDY = "Send one JSON object with content-type application/json."


async def read_json_object(request: Request, bytes_max: int) -> dict[str, Any]:
    """The request's body. Raises BodyTooLarge, UnsupportedContentType, InvalidRequest, ClientLeft."""
    media_type = (header(request, b"content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        shown = f"'{media_type[:80]}'" if media_type else "no content type"
        raise UnsupportedContentType(f"This route reads JSON, but the request has {shown}. {_REMEDY}")
    encoding = header(request, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedContentType("Compressed request bodies are not read. Send the body as it is.")
    return parse_json_object(await read_body(request, bytes_max))


def parse_json_object(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object, with or without a byte order mark. Raises InvalidRequest for anything else: duplicate
    names, NaN, too deep, too many parts, bad UTF-8. Linear in the body's length, whatever its content.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if not body:
        _refuse(f"The request has no body. {_REMEDY}")
    _check_shape(body)
    try:
        parsed = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        _refuse(f"The request's body is not UTF-8 at byte {error.start}.")
    except json.JSONDecodeError as error:
        _refuse(f"The request's body is not JSON: line {error.lineno}, column {error.colno}. {_REMEDY}")
    if not isinstance(parsed, dict):
        _refuse(f"The request's body is not a JSON object. {_REMEDY}")
    return parsed


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The request's body as it is. Raises BodyTooLarge, ClientLeft."""
    declared = header(request, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    is_whole = False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft("The client left while it was sending its request.")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        is_whole = not message.get("more_body", False)
    return bytes(body)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request's body is larger than {bytes_max} bytes.")


def _check_shape(body: bytes) -> None:
    """Bounds what the parser gets, faster than it parses: the depth and the number of parts."""
    if body.count(b"{") + body.count(b"[") <= _DEPTH_MAX and body.count(b",") <= _PARTS_MAX:
        return
    outside, string_count = _STRING.subn(b"", body, _PARTS_MAX + 1)
    brackets = outside.translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
    # More closing than opening brackets are not JSON: the parser stops at the first.
    steps = (1 if bracket == _OPEN else -1 for bracket in brackets[: 2 * _PARTS_MAX])
    if max(accumulate(steps), default=0) > _DEPTH_MAX:
        _refuse(f"The request's body is nested deeper than {_DEPTH_MAX} levels.")
    if string_count + outside.count(b",") + brackets.count(b"[") > _PARTS_MAX:
        _refuse(f"The request's body holds more than {_PARTS_MAX} names and values.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                twice = name[:80]
                message = f"The parameter {twice!a} is given more than once. Give it once."
                raise InvalidRequest(message, param=twice, code="duplicate_parameter")
            seen.add(name)
    return fields


def _integer(written: str) -> int:
    if len(written) > _DIGITS_MAX:
        _refuse("The request's body holds a number that is too long.")
    return int(written)


def _constant(name: str) -> NoReturn:
    _refuse(f"The request's body holds {name}, which is not JSON.")


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(message, param=None, code="invalid_json")


# json.loads would make one each time
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
