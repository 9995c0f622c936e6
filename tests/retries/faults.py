"""A proxy in front of a gateway that does to connections what networks do to them. The gateway has bought by then."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

# Those of a network. With the loopback's, the system takes 2.6 MB from the gateway at once: such an answer counts as
# delivered.
_SEGMENT_BYTES, _WINDOW_BYTES = 1400, 65_536
_RESET = struct.pack("ii", 1, 0)


class Fault(NamedTuple):
    """What is reset: a connection whose caller was given so many bytes, or nothing for so long."""

    after_bytes: int | None = None
    silent_seconds: float | None = None


@contextmanager
def faulty_proxy(port: int, fault: Fault, on_answer: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Gives its root URL. Calls `on_answer` before the first bytes of an answer are passed on."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                threading.Thread(target=_serve, args=(caller, port, fault, on_answer), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _serve(caller: socket.socket, port: int, fault: Fault, on_answer: Callable[[], None]) -> None:
    with caller, socket.socket() as gateway, suppress(OSError):
        gateway.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
        gateway.connect(("127.0.0.1", port))
        if _is_cut(caller, gateway, fault, on_answer):
            for end in (caller, gateway):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _is_cut(caller: socket.socket, gateway: socket.socket, fault: Fault, on_answer: Callable[[], None]) -> bool:
    """Passes bytes both ways until one end closes, or the fault is there."""
    passed = 0
    while True:
        # In one thread: closing a socket that another thread waits for ends nothing.
        ready, _, _ = select.select((caller, gateway), (), (), fault.silent_seconds)
        if not ready:
            return True
        for source in ready:
            data = source.recv(16_384)
            if not data:
                return False
            if source is caller:
                gateway.sendall(data)
                continue
            if not passed:
                on_answer()
            passed += len(data)
            if fault.after_bytes is not None and passed > fault.after_bytes:
                return True
            caller.sendall(data)
