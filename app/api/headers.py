"""Reads single headers of a request as the server gives them: the framework's own way decodes and compares more."""

from starlette.requests import HTTPConnection


def header(connection: HTTPConnection, name: bytes) -> str | None:
    """The value of the first header of that name, None where there is none. `name` is in lower case, as ASGI has it."""
    for known, value in connection.scope["headers"]:
        if known == name:
            text: str = value.decode("latin-1")
            return text
    return None
