"""Reads single headers of a request in the server's form: the framework's own way decodes and compares more."""

from starlette.requests import HTTPConnection


def header(connection: HTTPConnection, name: bytes) -> str | None:
    """The value of the first header of that name, None if there is none. `name` is in lower case, as in ASGI."""
    for known, value in connection.scope["headers"]:
        if known == name:
            text: str = value.decode("latin-1")
            return text
    return None
