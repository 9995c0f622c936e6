"""The head of a request as it is sent: checked, so that nothing in it can become another header or another request."""

import re
from itertools import chain

import httpx2

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_BEGINNINGS_MAX = 16  # there is one per path, account and type of body


class RequestHeads:
    """The heads of one transport's requests. What comes before the length is the same in most of them: it is checked
    and written once.
    """

    def __init__(self) -> None:
        self._beginnings: dict[tuple[object, ...], bytes] = {}

    def of(self, request: httpx2.Request, body: bytes | None) -> tuple[bytes, int | None]:
        """As `request_head`."""
        *fields, last = request.headers.raw or ((b"", b""),)
        if body is None or last != (b"content-length", b"%d" % len(body)):
            return request_head(request, body)
        known = (request.method, request.url.raw_path, *fields)
        ending = b"content-length: %b\r\n\r\n" % last[1]
        beginning = self._beginnings.get(known)
        if beginning is None:
            head, _ = request_head(request, body)
            beginning = head.removesuffix(ending)
            if len(self._beginnings) < _BEGINNINGS_MAX:
                self._beginnings[known] = beginning
        return beginning + ending, len(body)


def request_head(request: httpx2.Request, body: bytes | None) -> tuple[bytes, int | None]:
    """The request's head, and the body's length that it announces; None for chunks. If the headers give neither, the
    length is taken from `body`, which is None for a stream.
    """
    fields = request.headers.raw
    method, target = request.method.encode(), request.url.raw_path
    if not method.isalpha() or _CONTROL.search(b"".join([target, *chain.from_iterable(fields)])):
        raise httpx2.LocalProtocolError("The method or a header holds what cannot be sent.")
    lines = [b"%b: %b" % field for field in fields]
    framing = [(name.lower(), value) for name, value in fields if name.lower() in _FRAMING]
    length: int | None = None
    if body is not None:
        # If a body is longer than its headers say, the server would read the rest as another request.
        length = len(body)
        announced = (b"content-length", b"%d" % length)
        if framing not in ([], [announced]):
            raise httpx2.LocalProtocolError("The body's length is not what the headers say.")
        if body and not framing:
            lines.append(b"%b: %b" % announced)
    elif not framing:
        lines.append(b"transfer-encoding: chunked")
    elif framing != [(b"transfer-encoding", b"chunked")]:
        if len(framing) != 1 or framing[0][0] != b"content-length" or not framing[0][1].isdigit():
            raise httpx2.LocalProtocolError("The headers announce the body in a way that is not known here.")
        length = int(framing[0][1])
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *lines, b"", b""]), length
