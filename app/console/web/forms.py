"""Forms as browsers send them without files: `application/x-www-form-urlencoded`, bounded, read with the standard
library.
"""

import asyncio
from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request

from app.errors import BodyTooLarge, ClientLeft, InvalidValue, UnsupportedContentType

_BYTES_MAX = 65_536
_FIELDS_MAX = 200


class Form:
    """The fields of one form, in the order they came. A missing field is an empty text."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)

    def get(self, name: str) -> str:
        """The last value of that name, without spaces around it."""
        return next((value.strip() for key, value in reversed(self._fields) if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of that name that is not empty."""
        return [value.strip() for key, value in self._fields if key == name and value.strip()]


NO_FORM = Form()
"""What a page has that is shown without one."""


def parse_form(body: bytes) -> Form:
    """Raises InvalidValue for what is no form, or one with too many fields."""
    try:
        text = body.decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise InvalidValue("The form cannot be read: it is not UTF-8, or has too many fields.") from None
    return Form(fields)


async def read_form(request: Request, bytes_max: int = _BYTES_MAX) -> Form:
    """The request's form. Raises UnsupportedContentType, BodyTooLarge, InvalidValue, ClientLeft."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise UnsupportedContentType("This page reads forms of the type application/x-www-form-urlencoded.")
    body = bytearray()
    is_whole = False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft("The browser left while it was sending its form.")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise BodyTooLarge(f"The form is larger than {bytes_max} bytes.")
        is_whole = not message.get("more_body", False)
    if len(body) > _BYTES_MAX:  # a megabyte of escapes takes 80 ms
        return await asyncio.to_thread(parse_form, bytes(body))
    return parse_form(bytes(body))
