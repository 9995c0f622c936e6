"""Reading one header: what the framework's own headers say, in the cases that matter to a door."""

import pytest
from starlette.requests import Request

from app.api.headers import header

RAW = [(b"host", b"x"), (b"content-type", b"text/plain"), (b"content-type", b"second"), (b"x-name", b"\xe9\xff")]


@pytest.mark.parametrize(
    ("name", "value"), [(b"content-type", "text/plain"), (b"x-name", "\xe9\xff"), (b"authorization", None)]
)
def test_a_header_is_the_first_of_its_name_or_none(name: bytes, value: str | None) -> None:
    request = Request({"type": "http", "headers": RAW})
    assert header(request, name) == value == request.headers.get(name.decode())
