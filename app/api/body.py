"""Reads a JSON object out of a request: bounded, strict, every fault a clear error. Knows nothing of images."""

import json
from typing import Any, NoReturn

from starlette.requests import Request

from app.api.headers import header
from app.errors import BodyTooLarge, ClientLeft, InvalidRequest, UnsupportedContentType

_DEPTH_MAX = 32
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
    return parse_json_object(await _read(request, bytes_max))


def parse_json_object(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object. Raises InvalidRequest for anything else: duplicate names, NaN, depth, bad UTF-8."""
    if not body:
        _refuse(f"The request has no body. {_REMEDY}")
    if _is_too_deep(body):
        _refuse(f"The request's body is nested deeper than {_DEPTH_MAX} levels.")
    try:
        parsed = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        _refuse(f"The request's body is not UTF-8 at byte {error.start}.")
    except json.JSONDecodeError as error:
        _refuse(f"The request's body is not JSON: line {error.lineno}, column {error.colno}. {_REMEDY}")
    except ValueError:  # an integer of thousands of digits
        _refuse("The request's body holds a number that is too long.")
    if not isinstance(parsed, dict):
        _refuse(f"The request's body is not a JSON object. {_REMEDY}")
    return parsed


async def _read(request: Request, bytes_max: int) -> bytes:
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


def _is_too_deep(body: bytes) -> bool:
    """A quick count of brackets outside strings, so that the parser never meets a depth it cannot return from."""
    depth, in_string, escaped = 0, False, False
    if body.count(b"{") + body.count(b"[") <= _DEPTH_MAX:
        return False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            if depth > _DEPTH_MAX:
                return True
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:80]
        raise InvalidRequest(
            f"The parameter {twice!a} is given more than once. Give it once.", param=twice, code="duplicate_parameter"
        )
    return fields


def _constant(name: str) -> NoReturn:
    _refuse(f"The request's body holds {name}, which is not JSON.")


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(message, param=None, code="invalid_json")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)  # json.loads would make one each time
