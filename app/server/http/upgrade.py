"""Continues reading after a head that offered an upgrade, as if there were no offer: this server speaks HTTP/1.1 only.

httptools ends such a request with its head. A new parser gets only the framing of the body, and continues with the
bytes after the head.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


class Listener(Protocol):
    """What a parser calls."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


def new_parser(listener: object) -> httptools.HttpRequestParser:
    """A parser that continues after a request with `connection: close`: that one is answered first."""
    parser = httptools.HttpRequestParser(listener)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def parser_behind(headers: Iterable[tuple[bytes, bytes]], listener: Listener) -> httptools.HttpRequestParser:
    """A parser at the first byte after a head with these `headers`, whose names are in lower case.

    Raises httptools.HttpParserError for framing that contradicts itself.
    """
    framing = b"".join(b"%s: %s\r\n" % header for header in headers if header[0] in _FRAMING)
    if not framing:
        listener.on_message_complete()
        return new_parser(listener)
    parser = new_parser(_Behind(listener))
    parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
    return parser


class _Behind:
    """Passes everything on except the head that `parser_behind` makes up."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._is_muted = True
        self.on_body: Callable[[bytes], None] = listener.on_body
        self.on_message_complete: Callable[[], None] = listener.on_message_complete

    def on_message_begin(self) -> None:
        if not self._is_muted:
            self._listener.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_muted:
            self._listener.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_muted:
            self._listener.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_muted:
            self._is_muted = False
        else:
            self._listener.on_headers_complete()
