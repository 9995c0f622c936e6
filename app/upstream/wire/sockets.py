"""The options of every socket to ZenMux, whichever transport made it."""

import socket
from typing import Any

_IDLE_SECONDS = 60  # NATs and load balancers drop a silent connection after 60 s to 350 s (docs/networks.md)
_PROBE_SECONDS = 15
_PROBES = 8  # so a dead connection is noticed within three minutes, long before the silence timeout
_OPTIONS = (
    ("TCP_KEEPIDLE", _IDLE_SECONDS),
    ("TCP_KEEPALIVE", _IDLE_SECONDS),  # its name on macOS
    ("TCP_KEEPINTVL", _PROBE_SECONDS),
    ("TCP_KEEPCNT", _PROBES),
)


def keep_alive(sock: Any) -> None:  # noqa: ANN401 - a socket, or what uvloop gives in place of one
    """Sets TCP keepalive, so that a NAT keeps a connection that waits for an image. Does nothing for None."""
    if sock is None:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        pass  # it is closed already; its owner will notice
