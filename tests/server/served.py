"""A small app behind the gateway's own protocol, in a thread, and callers that write bytes as they like."""

import asyncio
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.api.error_responses import error_response, wire_error
from app.server.http.bounds import HOOKS, Bounds, Fault, Hooks
from app.server.serving import server_config
from tests.servers import wait_until

BIG = 20_000_000


class Served:
    """Answers /echo with what it got, /early before the body, /big at length, /cut in part; /held when it is let go."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.faults: Counter[Fault] = Counter()
        self.open = 0
        self.began = threading.Event()  # a request to /held
        self.left = threading.Event()  # its caller
        self.paths: list[str] = []
        self._let_go = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._server = uvicorn.Server(server_config(self, 1, bounds or Bounds()))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), "the server started")
        assert self._server.started, "the server did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.let_go()
        self._server.should_exit = True
        self._thread.join(10)

    def let_go(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._let_go.set)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, *packets: bytes) -> bytes:
        """All that comes back on a connection of its own, until the server closes it."""
        with self.connect() as connection:
            for packet in packets:
                connection.sendall(packet)
            return read_all(connection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._loop = asyncio.get_running_loop()
            scope["state"][HOOKS] = Hooks(
                answer=lambda error: error_response(wire_error(error)), count=self._count, show_open=self._show_open
            )
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.paths.append(scope["path"])
        await getattr(self, f"_{scope['path'].strip('/') or 'echo'}")(scope, receive, send)

    def _count(self, fault: Fault) -> None:
        self.faults[fault] += 1

    def _show_open(self, count: int) -> None:
        self.open = count

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body, more = body + message["body"], message["more_body"]
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        fields = {
            "method": scope["method"],
            "body": body.decode("latin-1")[:1000],
            "size": len(body),
            "headers": headers,
        }
        await JSONResponse(fields)(scope, receive, send)

    async def _early(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"early": True}, 401)(scope, receive, send)

    async def _big(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(BIG // 100_000):
            await send({"type": "http.response.body", "body": b"b" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cut(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async def _nothing(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    async def _held(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began.set()
        await receive()

        while not self._let_go.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    if (await receive())["type"] == "http.disconnect":
                        self.left.set()
                        return
        await JSONResponse({"held": True})(scope, receive, send)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(1_000_000):
        received += chunk
    return received


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer with a length: its status, headers and body. Takes nothing of the next."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    status, *lines = head.decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = b""
    while len(body) < int(headers["content-length"]):
        body += connection.recv(int(headers["content-length"]) - len(body))
    return int(status.split()[1]), headers, body


def error_in(answer: bytes) -> dict[str, Any]:
    """The one answer's error, which is OpenAI's in full."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    assert b"connection: close" in head.lower()
    error: dict[str, Any] = json.loads(body)["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return error
