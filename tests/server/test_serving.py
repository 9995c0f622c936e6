"""Sockets, readiness, signals and bounds of the server, with real sockets and real processes."""

import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import pytest

from app.errors import ConfigurationError
from app.server import serving
from app.server.http.bounds import HOOKS, Bounds, Hooks


def test_port_0_picks_a_free_port_that_listens() -> None:
    with serving.listen("127.0.0.1", 0, "GATEWAY_PORT") as listener:
        host, port = listener.getsockname()
        assert serving.base_url(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection((host, port), timeout=5):
            pass


def test_a_taken_port_is_told_with_the_setting_that_chooses_another() -> None:
    with serving.listen("127.0.0.1", 0, "GATEWAY_PORT") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1 port {port}: Address already in use.*GATEWAY_PORT"):
            serving.listen("127.0.0.1", port, "GATEWAY_PORT")


def test_a_port_is_shared_among_listeners_of_one_holder_and_with_nobody_else() -> None:
    with serving.bind("127.0.0.1", 0, "GATEWAY_PORT") as holder:
        address: tuple[str, int] = holder.getsockname()
        listeners = [serving.listen_beside(holder) for _ in range(2)]
        connections = [socket.create_connection(address, timeout=5) for _ in range(64)]
        assert all(accepted(listener) > 0 for listener in listeners)
        with pytest.raises(ConfigurationError, match="Address already in use"):
            serving.bind(address[0], address[1], "GATEWAY_PORT")
        listeners[0].close()
        connections += [socket.create_connection(address, timeout=5) for _ in range(16)]
        assert accepted(listeners[1]) == 16  # what is closed gets no share
        for each in (listeners[1], *connections):
            each.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system names them otherwise")
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_caller_that_vanished_is_noticed_within_two_minutes(is_shared: bool) -> None:
    """The kernel asks on each connection that the listener accepts, also of a worker's own listener."""
    with ExitStack() as stack:
        if is_shared:
            holder = stack.enter_context(serving.bind("127.0.0.1", 0, "GATEWAY_PORT"))
            listener = stack.enter_context(serving.listen_beside(holder))
        else:
            listener = stack.enter_context(serving.listen("127.0.0.1", 0, "GATEWAY_PORT"))
        stack.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        connection = stack.enter_context(listener.accept()[0])
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, interval, count = (connection.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        assert idle + interval * count <= 120


def accepted(listener: socket.socket) -> int:
    """How many connections wait; they are closed."""
    listener.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_of_no_interface_is_told(host: str) -> None:
    with pytest.raises(ConfigurationError, match=host.replace(".", r"\.")):
        serving.listen(host, 0, "GATEWAY_PORT")


def test_every_interface_is_reached_over_loopback() -> None:
    with serving.listen("0.0.0.0", 0, "GATEWAY_PORT") as listener:
        assert serving.base_url(listener).startswith("http://127.0.0.1:")


PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    from app.server import serving
    from app.server.http.bounds import HOOKS, Hooks

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            if "drains" in sys.argv:
                scope["state"][HOOKS] = Hooks(drain=lambda: print("draining", flush=True) or 0)
            if "broken" in sys.argv:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            print("closed", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
            return
        print("asked", flush=True)
        if scope["path"] == "/slow":
            await asyncio.sleep(0.5)
        if scope["path"] == "/endless":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listener = serving.listen("127.0.0.1", 0, "GATEWAY_PORT")
    ready = lambda _: print(listener.getsockname()[1], flush=True)
    sys.exit(serving.run(app, listener, shutdown_seconds=1 if "hurried" in sys.argv else 30, on_ready=ready))
    """
)


@contextmanager
def running(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that serves, and its port, read from the line it prints when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def ask(port: int, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish_and_exits_0(number: int) -> None:
    with running() as (process, port), ask(port, "/slow") as connection:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(number)
        answer = connection.recv(4096)
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"ok")
        assert b"server:" not in answer.lower()
        assert process.stdout.readline() == "closed\n"
        assert process.wait(20) == 0


def test_a_hangup_ends_nothing() -> None:
    with running() as (process, port), ask(port, "/slow") as connection:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGHUP)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert process.poll() is None


def test_the_app_drains_when_the_server_stops_and_says_how_long_that_takes() -> None:
    with running("drains") as (process, port), ask(port, "/endless") as connection:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "draining\n"
        assert b"200" not in connection.recv(4096)  # after a second, not after the 30 that the server was given
        assert process.wait(20) is not None


def test_the_app_drains_at_the_signal_and_once() -> None:
    """Not when uvicorn looks for the signal: /readyz would say ready until then."""
    drained: list[bool] = []

    def drain() -> float:
        drained.append(True)
        return 5.0

    server = serving._Server(serving.server_config(None, 30, Bounds()), lambda _: None, (signal.SIGTERM,))
    server.lifespan = SimpleNamespace(state={HOOKS: Hooks(drain=drain)})  # as it is once the app started
    for _ in range(2):
        server.handle_exit(signal.SIGTERM, None)
        assert drained == [True]
        assert server.should_exit


def test_a_request_that_never_ends_is_cut_after_the_time_to_finish() -> None:
    with running("hurried") as (process, port), ask(port, "/endless") as connection:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "closed\n"
        assert process.wait(20) == 0
        assert b"200" not in connection.recv(4096)


def test_an_app_that_cannot_start_exits_1() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, "broken"], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert "no database" in process.stderr


def test_endless_headers_are_refused() -> None:
    with running() as (_, port), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-endless: ")
        sender = threading.Thread(target=_send_until_cut, args=(connection,), daemon=True)
        sender.start()
        with suppress(ConnectionResetError):  # closing on what was not read resets; the answer may be lost by that
            assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        sender.join(20)
        assert not sender.is_alive()


def _send_until_cut(connection: socket.socket) -> None:
    with suppress(OSError):
        for _ in range(100_000):
            connection.sendall(b"a" * 4096)


def test_large_bodies_are_not_taken_for_headers() -> None:
    with running() as (_, port), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        body = b"b" * 1_000_000
        for _ in range(2):  # on a kept connection the count begins anew
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            answer = b""
            while not answer.endswith(b"ok"):  # the head and the body may come apart
                received = connection.recv(4096)
                assert received
                answer += received
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("bound", [16_384, None])
def test_what_the_kernel_keeps_for_a_slow_client_can_be_bounded(bound: int | None) -> None:
    with serving.listen("127.0.0.1", 0, "X") as listener:
        of_the_kernel = listener.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        serving.bound_buffers(listener, bound)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            kept = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    # Linux doubles what it is asked for, for its own bookkeeping.
    assert (kept <= 2 * bound) if bound else (kept >= of_the_kernel)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system cannot")
def test_the_kernel_takes_little_of_an_answer_before_it_can_send_it() -> None:
    """An answer that is cut in the middle was not handed over to its end."""
    with serving.listen("127.0.0.1", 0, "X") as listener, socket.socket() as caller:
        serving.bound_buffers(listener, None)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        caller.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            accepted.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while taken < 8_000_000:
                    taken += accepted.send(b"a" * 65_536)
    assert taken < 600_000
