"""A proxy cuts before the image is there: what the client sends again gets the image, bought once."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.e2e.test_early_head import NGINX, impatient_proxy
from tests.servers import RunningGateway, fetch_json

CHEAP: dict[str, Any] = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
PNG = b"\x89PNG\r\n\x1a\n"


@contextmanager
def cutting_proxy(gateway: RunningGateway, *, seconds: float) -> Iterator[str]:
    """Passes bytes both ways, and cuts a connection that gave its caller nothing for so long. Gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = ("127.0.0.1", int(gateway.root.rpartition(":")[2]))

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)

    def serve(caller: socket.socket) -> None:
        with caller, socket.create_connection(target) as upstream:
            threading.Thread(target=pass_on, args=(caller, upstream), daemon=True).start()
            upstream.settimeout(seconds)
            pass_on(upstream, caller)
            for end in (caller, upstream):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()


def assert_it_arrives(url: str, gateway: RunningGateway, sandbox: SandboxServer, prompt: str) -> None:
    with openai.OpenAI(base_url=url, api_key=gateway.store.key().text, max_retries=3) as client:
        images = client.images.generate(prompt=prompt, **CHEAP)
    assert images.data is not None
    assert base64.b64decode(images.data[0].b64_json or "").startswith(PNG)
    gateway.store.settled(1)
    bill = fetch_json(sandbox.bill_url)
    assert len(bill["generations"]) == 1
    assert gateway.store.findings(bill) == []
    assert gateway.metric("zenmux_gateway_replays_total", kind="taken_over") == 1


def test_a_proxy_cuts_what_is_silent(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    with cutting_proxy(gateway, seconds=2) as url:
        assert_it_arrives(url, gateway, sandbox, "a house [sandbox: delay=4s]")


@pytest.mark.skipif(NGINX is None, reason="nginx is not here: a proxy that cuts after 2 s is not tested")
def test_nginx_cuts_what_is_silent(start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path) -> None:
    """Without an early head; nginx answers 504, which the SDK takes for a reason to try again."""
    gateway = start_gateway(sandbox.url, early_head_seconds=0)
    with impatient_proxy(tmp_path, gateway) as url:
        assert_it_arrives(url, gateway, sandbox, "a house [sandbox: delay=4s]")
