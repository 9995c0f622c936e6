"""What is set on a socket to ZenMux."""

import socket

import pytest

from app.upstream.wire.sockets import keep_alive


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system names it otherwise")
def test_a_silent_connection_is_probed_once_a_minute() -> None:
    with socket.socket() as made:
        keep_alive(made)
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_a_socket_that_is_gone_is_no_fault() -> None:
    made = socket.socket()
    made.close()
    keep_alive(made)
    keep_alive(None)
