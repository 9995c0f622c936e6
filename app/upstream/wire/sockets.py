"""What is set on each socket to ZenMux, whoever made it."""

import socket
from typing import Any

_IDLE_SECONDS = 60  # NATs and load balancers forget a silent connection after 60 s to 350 s (docs/networks.md)
_PROBE_SECONDS = 15
_PROBES = 8  # so a dead way is noticed within three minutes, long before the silence timeout
_OPTIONS = (
    ("TCP_KEEPIDLE", _IDLE_SECONDS),
    ("TCP_KEEPALIVE", _IDLE_SECONDS),  # as macOS names it
    ("TCP_KEEPINTVL", _PROBE_SECONDS),
    ("TCP_KEEPCNT", _PROBES),
)


def keep_alive(sock: Any) -> None:  # noqa: ANN401 - a socket, or what uvloop gives in place of one
    """TCP keepalive, so that a NAT remembers a connection over which an image is waited for. None is let pass."""
    if sock is None:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        pass  # it is gone already, which its owner will notice
