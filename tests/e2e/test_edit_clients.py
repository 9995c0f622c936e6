"""Clients that edit: the real SDKs, and what others put on the wire, byte for byte, as it was captured from them."""

import base64
import io
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.e2e.test_openai_node import NODE, run
from tests.image_files import image_file, mask_file
from tests.servers import Key, RunningGateway, fetch_json

CHEAP: dict[str, Any] = {
    "model": "gpt-image-2",
    "prompt": "Mach es blau – süß 🦊",
    "size": "1024x1024",
    "quality": "low",
}
# Captured from the clients themselves, but for go-openai and Codex, which are written after their source.
WHEN_CAPTURED = datetime(2026, 11, 24, tzinfo=UTC)  # a model that one of them names ended a week later
SHAPES = sorted((Path(__file__).parent / "edit_shapes").glob("*.txt"))


def check_bill(gateway: RunningGateway, sandbox: SandboxServer, input_images: int) -> None:
    (row,) = gateway.store.settled(1)
    assert (row["operation"], row["outcome"], row["input_image_tokens"]) == ("edit", "completed", 1024 * input_images)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    image, mask = tmp_path / "Bär „süß“.png", tmp_path / "mask.png"
    image.write_bytes(image_file())
    mask.write_bytes(mask_file())
    return image, mask


@pytest.mark.parametrize("how", ["handle", "bytes", "bytesio", "list", "mask", "tuple"])
def test_openai_python(gateway: RunningGateway, sandbox: SandboxServer, files: tuple[Path, Path], how: str) -> None:
    image, mask = files
    with (
        openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client,
        image.open("rb") as handle,
    ):
        sent: Any = {
            "bytes": image.read_bytes(),
            "bytesio": io.BytesIO(image.read_bytes()),
            "list": [handle, image.read_bytes()],
            "tuple": ("a.jpg", image.read_bytes(), "image/jpeg"),
        }.get(how, handle)
        more: dict[str, Any] = {"mask": mask.read_bytes()} if how == "mask" else {}
        answer = client.images.edit(image=sent, n=2, **CHEAP, **more)
    assert answer.data is not None
    assert [base64.b64decode(item.b64_json or "")[:4] for item in answer.data] == [b"\x89PNG"] * 2
    check_bill(gateway, sandbox, 2 if how == "list" else 1)


async def test_openai_python_async_and_streaming(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
        stream = await client.images.edit(image=image_file(), stream=True, partial_images=1, **CHEAP)
        assert [event.type async for event in stream] == ["image_edit.partial_image", "image_edit.completed"]
    check_bill(gateway, sandbox, 1)


def test_openai_python_sees_our_errors(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="image 1") as refused:
            client.images.edit(image=b"no image", **CHEAP)
        assert (refused.value.code, refused.value.param) == ("invalid_image_file", "image")
        large = image_file() + bytes(160_000_000)  # far more than is read behind the error
        with pytest.raises(openai.BadRequestError, match="smaller than 50 MB"):
            client.images.edit(image=large, **CHEAP)
    assert gateway.store.rows() == []


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
def test_openai_node_sees_our_errors(gateway: RunningGateway, files: tuple[Path, Path]) -> None:
    image, _ = files
    os.truncate(image, 160_000_000)
    found = run(gateway, gateway.store.key(), "edit.mjs", how="stream", image=str(image))
    assert (found["error"]["status"], found["error"]["code"]) == (400, "invalid_image_file"), found
    assert gateway.store.rows() == []


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
@pytest.mark.parametrize(
    ("sent", "images"),
    [({"how": "stream"}, 1), ({"how": "blob"}, 1), ({"how": "list"}, 2), ({"how": "stream", "mask": True}, 1)],
)
def test_openai_node(
    gateway: RunningGateway, sandbox: SandboxServer, files: tuple[Path, Path], sent: dict[str, Any], images: int
) -> None:
    image, mask = files
    more = {"mask": str(mask)} if "mask" in sent else {}
    found = run(gateway, gateway.store.key(), "edit.mjs", **{**sent, "image": str(image), **more})
    assert found["error"] is None, found
    assert [made["begins"] for made in found["result"]["images"]] == ["89504e470d0a1a0a"]
    check_bill(gateway, sandbox, images)


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
def test_openai_node_streams(gateway: RunningGateway, sandbox: SandboxServer, files: tuple[Path, Path]) -> None:
    found = run(
        gateway, gateway.store.key(), "edit.mjs", how="stream", image=str(files[0]), stream=True, partial_images=1
    )
    assert found["result"]["events"] == ["image_edit.partial_image", "image_edit.completed"], found
    check_bill(gateway, sandbox, 1)


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
@pytest.mark.parametrize("count", [1, 2])
def test_vercel_ai_sdk(gateway: RunningGateway, sandbox: SandboxServer, files: tuple[Path, Path], count: int) -> None:
    image, mask = files
    found = run(gateway, gateway.store.key(), "ai_edit.mjs", images=[str(image)] * count, mask=str(mask))
    assert found["error"] is None, found
    assert len(found["result"]["images"]) == 1
    check_bill(gateway, sandbox, count)


def replayed(captured: str, key: Key) -> bytes:
    """A captured request with images where they were left out, our key, and lengths that are right again."""
    head, _, text = captured.partition("\n\n")
    body = text.removesuffix("\n").replace(" <then CRLF>", "\n").replace("\n", "\r\n").encode()
    mask = rb'(name="mask"[^<]*)<[^>]*>'
    body = re.sub(mask, lambda found: found[1] + mask_file(), body)
    body = re.sub(rb"<\d+ bytes, begins [^>]*>", lambda _: image_file(), body)
    body = re.sub(rb"<\d+ base64 [^>]*>", lambda _: base64.b64encode(image_file()), body)
    if "transfer-encoding: chunked" in head.lower():
        pieces = [body[start : start + 50] for start in range(0, len(body), 50)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    lines = ["POST /v1/images/edits HTTP/1.1"]
    for line in head.splitlines()[1:]:
        name = line.partition(":")[0].lower()
        values = {"authorization": f"Bearer {key.text}", "content-length": str(len(body)), "connection": "close"}
        lines.append(f"{name}: {values[name]}" if name in values else line)
    lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize("shape", SHAPES, ids=[path.stem for path in SHAPES])
def test_what_clients_were_seen_to_send(start_gateway: StartGateway, sandbox: SandboxServer, shape: Path) -> None:
    captured = shape.read_text()
    # The default model is for Go's, which names none.
    gateway = start_gateway(sandbox.url, lambda: WHEN_CAPTURED, default_model="gpt-image-2")
    with socket.create_connection(gateway.socket.getsockname(), timeout=60) as connection:
        connection.sendall(replayed(captured, gateway.store.key()))
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:2000]
    (row,) = gateway.store.settled(1)
    images = len(re.findall(r"bytes, begins|base64 characters", captured)) - captured.count('name="mask"; filename="')
    images += captured.count('name="mask"; filename=""')
    assert row["outcome"] == "completed"
    assert row["input_image_tokens"] == (194 if "gpt-image-1.5" in captured else 1024) * images
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
