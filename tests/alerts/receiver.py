"""A webhook's receiver on loopback: a real HTTP server that answers as it is told and remembers what it was sent."""

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec-for-tests-only-0123456789"


@dataclass(frozen=True)
class Received:
    """One request, as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def signed_at(self) -> int:
        return int(self.headers["webhook-timestamp"])

    @property
    def is_signed(self) -> bool:
        """Worked out by hand, beside the library that signs."""
        signed = f"{self.headers['webhook-id']}.{self.signed_at}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
        return self.headers["webhook-signature"] == f"v1,{expected}"


class Receiver:
    """Answers with the statuses of `answers`, in their order, then with 204. `may_answer` holds answers back."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.body = b""
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.url = ""
        self._lock = threading.Lock()

    def take(self, received: Received) -> int:
        with self._lock:
            self.received.append(received)
            return self.answers.pop(0) if self.answers else 204

    @property
    def percents(self) -> list[int]:
        with self._lock:
            return [received.event["data"]["percent"] for received in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(self.path, headers, body))
            receiver.may_answer.wait(30)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # with the usual 5, the kernel resets some of many connections at once

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook?team=design"
        yield receiver
        receiver.may_answer.set()
        server.shutdown()
