"""How tests talk to the stand-in: over real HTTP, and with a socket of their own where connections break."""

import base64
import io
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
from PIL import Image

from app.images.catalog.catalog import load_catalog
from app.sandbox.requests.asked import Asked, check
from app.sandbox.server import SandboxServer

KEY = "sk-ai-v1-test"
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Event = tuple[str | None, dict[str, Any]]


def asked(prompt: str = "A fox", operation: str = "generation", **fields: Any) -> Asked:
    """A checked request; `inputs` are sizes of images to edit."""
    inputs: Any = fields.pop("inputs", ())
    return check({"model": "gpt-image-2", "prompt": prompt, **fields}, operation, inputs, load_catalog())


def opened(data: bytes) -> Image.Image:
    """An image file, decoded to its last pixel."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def image_of(item: Mapping[str, Any]) -> Image.Image:
    """The image in an item of `data`, or in an event."""
    return opened(base64.b64decode(item["b64_json"], validate=True))


def events_of(body: bytes) -> list[Event]:
    """Name and data of each event; comments are left out."""
    events: list[Event] = []
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            events.append((lines.get("event"), json.loads(lines["data"])))
    return events


@dataclass(frozen=True)
class Client:
    """A caller of one running stand-in."""

    server: SandboxServer
    http: httpx2.Client

    def draw(self, prompt: str = "A fox", *, path: str = "/images/generations", **fields: Any) -> httpx2.Response:
        """The whole answer to a JSON request; small and cheap unless `fields` say otherwise."""
        body = {"model": "gpt-image-2", "prompt": prompt, "quality": "low", **fields}
        return self.http.post(self.server.url + path, json=body)

    def bill(self) -> dict[str, Any]:
        bill: dict[str, Any] = self.http.get(self.server.bill_url).json()
        return bill

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.bill()["generations"]
        return rows

    def charged(self, happened: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The only row of the bill, waited for: it is written when the work is done, on another thread."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            rows = self.rows()
            if rows and happened(rows[0]):
                assert len(rows) == 1
                return rows[0]
            time.sleep(0.01)
        raise AssertionError(f"no such row: {self.rows()}")

    def send(self, prompt: str, **fields: Any) -> socket.socket:
        """A request sent whole over a socket of its own, the answer not yet read."""
        url = urlsplit(self.server.url)
        assert url.hostname is not None
        body = json.dumps({"model": "gpt-image-2", "prompt": prompt, "quality": "low", **fields}).encode()
        head = (
            f"POST {url.path}/images/generations HTTP/1.1\r\nHost: {url.hostname}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection((url.hostname, url.port), timeout=20)
        connection.sendall(head.encode() + body)
        return connection


def received(connection: socket.socket) -> Iterator[bytes]:
    """What comes until the other side ends the connection; raises what the socket raises."""
    while chunk := connection.recv(65_536):
        yield chunk
