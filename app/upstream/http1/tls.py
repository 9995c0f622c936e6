"""A connection inside TLS, over OpenSSL in memory. The event loops' own TLS keeps half a megabyte per connection.

Decrypts each read at once and completely, so nothing waits here while a chunk waits to be taken.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any, cast

import httpx2

from app.upstream.http1.buffers import Buffers
from app.upstream.http1.connection import READ_BYTES_MAX, Connection, Surroundings
from app.upstream.http1.origin import Origin

# What one read can become: itself, and the record that the read before it cut.
PLAIN_BYTES = READ_BYTES_MAX + 32_768
# OpenSSL keeps memory for the largest amount it was ever given at once.
_PIECE_BYTES = 32_768
_RECORD_BYTES_MAX = 16_384 + 256 + 5


class TlsConnection(Connection):
    """`ready` is done when the handshake is, and raises OSError if it fails. `plain` is shared between connections, as
    the read buffers are.
    """

    def __init__(self, surroundings: Surroundings, origin: Origin, context: ssl.SSLContext, plain: Buffers) -> None:
        super().__init__(surroundings, origin)
        self.ready: asyncio.Future[None] = surroundings.loop.create_future()
        # If whoever wanted the connection has given up, nobody reads the failure of a handshake; asyncio would log it.
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._plain = plain
        self._plain_bytes = 0  # how much of the current buffer is filled
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=origin.host)

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - as the method that it extends
        return self._tls if name == "ssl_object" else super().get_extra_info(name)

    def close(self) -> None:
        with suppress(ssl.SSLError):
            self._tls.unwrap()  # sends close_notify; raises, because no answer has come yet
        self._flush()
        super().close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._shake_hands()

    def _received(self, size: int) -> None:
        received, ended, error = memoryview(self._surroundings.received.current), False, None
        self._plain_bytes = 0
        try:
            for at in range(0, size, _PIECE_BYTES):
                self._incoming.write(received[at : min(at + _PIECE_BYTES, size)])
                if self.ready.done() or self._shake_hands():
                    ended = self._decrypt(_RECORD_BYTES_MAX if at + _PIECE_BYTES < size else 0)
        except ssl.SSLError as broken:
            error = broken
        self._flush()  # TLS's own records
        if self._plain_bytes:
            self._receive(self._plain, self._plain_bytes)  # what came before an error still belongs to the answer
        if error is not None:
            self._break(error)
        elif ended:
            super().eof_received()
            super().close()

    def eof_received(self) -> None:
        """No close_notify: the answer may be truncated."""
        self._end_handshake(ConnectionResetError("The server closed the connection."))
        self._fail(httpx2.ReadError("The connection was cut off."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_handshake(exc or ConnectionResetError("The connection is gone."))
        super().connection_lost(exc)

    def _shake_hands(self) -> bool:
        """Returns whether the handshake is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the server why
            self._note_issuer(error)
            self._end_handshake(error)
            super().close()
            return False
        self._flush()
        self._end_handshake(None)
        return True

    def _note_issuer(self, error: ssl.SSLError) -> None:
        """For the log: who issued a refused certificate. Mostly this shows a proxy in between."""
        if not isinstance(error, ssl.SSLCertVerificationError):
            return
        # the interpreter's internal object: before 3.13 no public call describes a refused certificate
        with suppress(Exception):
            [refused, *_] = self._tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
            names = {name: value for ((name, value), *_) in refused.get_info()["issuer"]}
            named = [names[each] for each in ("commonName", "organizationName") if each in names]
            error.add_note(f"issued by {', '.join(named)}")

    def _end_handshake(self, error: Exception | None) -> None:
        if self.ready.done():
            return
        if error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(error)

    def _decrypt(self, least: int) -> bool:
        """Decrypts while at least so many bytes are there. Returns whether close_notify came.

        Decrypting less than a record raises an exception each time, so it is done once per read.
        """
        view, read, incoming, at = memoryview(self._plain.current), self._tls.read, self._incoming, self._plain_bytes
        try:
            while incoming.pending >= least:
                count = cast("int", read(len(view) - at, view[at:]))
                if not count:
                    return True
                at += count
        except ssl.SSLWantReadError:
            pass
        finally:
            self._plain_bytes = at
        return False

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            super()._write(self._outgoing.read())

    def _break(self, error: ssl.SSLError) -> None:
        self._fail(httpx2.ReadError(type(error).__name__))
        self.drop()
