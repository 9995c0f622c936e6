"""Errors for requests that no app sees: the texts, and an answer as bytes."""

from collections.abc import Iterable

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import GatewayError, HeadTooLarge, MalformedHttp, Overloaded, RequestTooSlow
from app.server.http.bounds import Fault

HEAD_BYTES_MAX = 65_536
HEADERS_MAX = 200

_LATE = {
    Fault.HEAD_LATE: "The request's headers did not come in time.",
    Fault.BODY_IDLE: "The request's body stopped coming.",
    Fault.BODY_SLOW: "The request's body came too slowly.",
    Fault.BODY_LATE: "The request's body did not come in time.",
}


class Refusal(Exception):
    """Raised in a callback of the parser: nothing more is read."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class Enough(Exception):
    """Raised in a callback of the parser: nothing more is read, and nothing is wrong."""


def error_of(fault: Fault) -> GatewayError:
    """The error that the caller gets."""
    match fault:
        case Fault.HEAD_TOO_LARGE:
            return HeadTooLarge(f"The request has more than {HEADERS_MAX} headers, or {HEAD_BYTES_MAX} bytes of them.")
        case Fault.TRAILERS_TOO_LARGE:
            return MalformedHttp("The request's body carries too much that is not body: trailers or extensions.")
        case Fault.TOO_MANY:
            return Overloaded("The gateway has too many connections. Please try again shortly.")
        case Fault.MALFORMED:
            return MalformedHttp("This is not an HTTP/1.1 request that the gateway can read.")
    return RequestTooSlow(_LATE[fault])


def answer_bytes(response: Response, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The whole answer, the last of its connection."""
    headers = [*default_headers, *response.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body)
