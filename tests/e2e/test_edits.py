"""Edits end to end: what callers send, what ZenMux gets, what it costs, and what is refused before it is bought."""

import asyncio
import base64
import io
import json
import select
import socket
import urllib.request
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from PIL import Image

from app import main
from app.files.fetching import Fetcher
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.files.test_fetching import served_as, to_loopback, trusting, whole
from tests.image_files import data_url, image_file, large_image, mask_file
from tests.servers import Key, RunningGateway, fetch_json, wait_until
from tests.upstream.raw_server import Connection, serve

FIELDS = {"model": "gpt-image-2", "prompt": "Make it snow", "quality": "low", "size": "1024x1024"}


def edit(gateway: RunningGateway, key: Key, **sent: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key.text}", **sent.pop("headers", {})}
    return httpx2.post(f"{gateway.url}/images/edits", headers=headers, timeout=60, **sent)


def bill_of(sandbox: SandboxServer) -> dict[str, Any]:
    with urllib.request.urlopen(sandbox.bill_url) as answer:
        bill: dict[str, Any] = json.load(answer)
    return bill


def images_of(answer: httpx2.Response) -> list[Image.Image]:
    assert answer.status_code == 200, answer.text
    return [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) for item in answer.json()["data"]]


def check_nothing_left(gateway: RunningGateway, sandbox: SandboxServer, bought: int) -> None:
    rows = gateway.store.settled(bought)
    bill = bill_of(sandbox)
    assert len(rows) == bill["count"] == bought
    assert gateway.store.findings(bill) == []
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []


def test_with_an_idempotency_key_an_edit_is_bought_once(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    """A client cuts its form anew for each try; what is in it counts."""
    key, image = gateway.store.key(), image_file((64, 64), "PNG")

    def send(*images: bytes, **fields: str) -> httpx2.Response:
        files = [("image[]", ("a.png", each, "image/png")) for each in images]
        return edit(gateway, key, data={**FIELDS, **fields}, files=files, headers={"idempotency-key": "order-1"})

    first, again = send(image), send(image)
    assert first.request.headers["content-type"] != again.request.headers["content-type"], "the boundaries differ"
    assert (again.status_code, again.content) == (200, first.content)
    assert [answer.headers.get("x-gateway-replayed") for answer in (first, again)] == [None, "true"]
    as_json = edit(
        gateway,
        key,
        json={**FIELDS, "images": [{"image_url": data_url(image)}]},
        headers={"idempotency-key": "order-1"},
    )
    assert (as_json.status_code, as_json.content) == (200, first.content)
    for other in (send(image_file((64, 65), "PNG")), send(image, image), send(image, prompt="Make it rain")):
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reuse")
    check_nothing_left(gateway, sandbox, 1)


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_form_is_edited(gateway: RunningGateway, sandbox: SandboxServer, name: str, kind: str) -> None:
    files = [(name, ("/home/ada/a.bin", image_file((341, 512), kind), "application/octet-stream"))]
    answer = edit(gateway, gateway.store.key(), data={**FIELDS, "n": "2"}, files=files)
    assert [image.size for image in images_of(answer)] == [(1024, 1024)] * 2
    (row,) = gateway.store.settled(1)
    assert (row["operation"], row["charged_images"], row["input_image_tokens"]) == ("edit", 2, 704)
    assert (row["input_images"], row["received_bytes"] > 100) == (1, True)
    assert float(answer.headers["x-gateway-estimated-cost-usd"]) >= row["charged_nanousd"] / 1e9
    check_nothing_left(gateway, sandbox, 1)


def test_a_mask_and_several_images(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    files = [
        ("image[]", ("a", image_file())),
        ("image[]", ("b", image_file())),
        ("mask", ("m", mask_file())),
    ]
    (image,) = images_of(edit(gateway, gateway.store.key(), data=FIELDS, files=files))
    assert image.getpixel((1020, 20)) == (0, 255, 0)  # the mask keeps it
    (row,) = gateway.store.settled(1)
    assert row["input_image_tokens"] == 2 * 1024
    check_nothing_left(gateway, sandbox, 1)


@pytest.mark.parametrize(
    "images",
    [
        {"images": [{"image_url": data_url(image_file())}]},
        {"images": [data_url(image_file(kind="JPEG"), "jpeg")]},
        {"images": data_url(image_file())},
        {"image": data_url(image_file())},
        {"image": [data_url(image_file())]},
        {"images": [{"type": "input_image", "image_url": {"url": data_url(image_file()).replace("/", "\\/")}}]},
    ],
)
def test_json_is_edited(gateway: RunningGateway, sandbox: SandboxServer, images: dict[str, Any]) -> None:
    document = json.dumps({**FIELDS, **images, "mask": {"image_url": data_url(mask_file())}, "n": 1})
    document = document.replace("\\\\/", "\\/")  # as PHP writes slashes
    headers = {"content-type": "application/json"}
    images_of(edit(gateway, gateway.store.key(), content=document.encode(), headers=headers))
    check_nothing_left(gateway, sandbox, 1)


def test_an_edit_streams(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    data = {**FIELDS, "stream": "true", "partial_images": "1"}
    answer = edit(gateway, gateway.store.key(), data=data, files={"image": image_file()})
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["image_edit.partial_image", "image_edit.completed"]
    (row,) = gateway.store.settled(1)
    assert (row["usage_source"], row["input_image_tokens"]) == ("reported", 1024)
    check_nothing_left(gateway, sandbox, 1)


def test_usage_that_is_not_itemised_is_image_input(gateway: RunningGateway) -> None:
    data = {**FIELDS, "prompt": "Snow [sandbox: no-details]"}
    edit(gateway, gateway.store.key(), data=data, files={"image": image_file()})
    (row,) = gateway.store.settled(1)
    assert row["input_text_tokens"] == 0
    assert row["input_image_tokens"] > 1024


@pytest.mark.parametrize(
    ("directive", "status", "source", "outcome"),
    [
        ("status=500", 502, "estimated", "upstream_failed"),
        ("status=400", 400, "none", "upstream_refused"),
        ("cut=0.5", None, "estimated", "upstream_failed"),  # the connection breaks
        ("no-usage", 200, "estimated", "completed"),
        ("reset", 502, "estimated", "upstream_failed"),
        ("garbage", 502, "estimated", "upstream_failed"),
    ],
)
def test_faults_end_as_in_generations(
    gateway: RunningGateway, sandbox: SandboxServer, directive: str, status: int | None, source: str, outcome: str
) -> None:
    data = {**FIELDS, "prompt": f"Snow [sandbox: {directive}]"}
    key = gateway.store.key()
    if status is None:
        with pytest.raises(httpx2.TransportError):
            edit(gateway, key, data=data, files={"image": image_file()})
    else:
        assert edit(gateway, key, data=data, files={"image": image_file()}).status_code == status
    (row,) = gateway.store.settled(1)
    assert (row["state"], row["usage_source"], row["outcome"]) == ("settled", source, outcome)
    bill = bill_of(sandbox)
    assert gateway.store.findings(bill) == []
    if source == "none":
        assert (bill["count"], row["charged_images"], row["charged_nanousd"]) == (0, 0, 0)
    else:  # at least what was billed, at most the hold
        assert bill["total_cost_nanousd"] <= row["charged_nanousd"] <= row["held_nanousd"]
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []


BAD_FILE = "invalid_image_file"
REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"data": FIELDS, "files": {"image": b"no image at all"}}, 400, BAD_FILE, "image"),
    ({"data": FIELDS, "files": {"image": image_file(kind="GIF")}}, 400, BAD_FILE, "image"),
    ({"data": FIELDS, "files": {"image": ("a.png", b"")}}, 400, BAD_FILE, "image"),
    ({"data": FIELDS, "files": {"image": ("a.png", image_file()[:20])}}, 400, BAD_FILE, "image"),
    ({"data": FIELDS, "files": {"photo": image_file()}}, 400, "invalid_type", "photo"),
    ({"data": FIELDS, "files": {"images": image_file()}}, 400, "invalid_value", "images"),
    ({"data": FIELDS, "files": [("image[]", image_file())] * 17}, 400, "array_above_max_length", "image"),
    ({"data": FIELDS, "files": {"image": large_image(50_000_000)}}, 400, BAD_FILE, "image"),
    ({"data": FIELDS, "files": {"image": image_file(), "mask": large_image(4_000_000)}}, 400, BAD_FILE, "mask"),
    ({"data": FIELDS, "files": {"image": image_file(), "mask": image_file()}}, 400, BAD_FILE, "mask"),
    ({"data": FIELDS, "files": {"image": image_file(), "mask": image_file(kind="JPEG")}}, 400, BAD_FILE, "mask"),
    ({"data": FIELDS, "files": {"image": image_file(), "mask": mask_file((32, 32))}}, 400, "invalid_value", "mask"),
    ({"data": FIELDS, "files": {"image": image_file(), "markup": mask_file()}}, 400, "unknown_parameter", "markup"),
    ({"data": {**FIELDS, "n": "two"}, "files": {"image": image_file()}}, 400, "invalid_type", "n"),
    ({"data": {**FIELDS, "stream": "yes"}, "files": {"image": image_file()}}, 400, "invalid_type", "stream"),
    ({"data": {**FIELDS, "svg[model]": "x"}, "files": {"image": image_file()}}, 400, "unknown_parameter", "svg[model]"),
    ({"data": {**FIELDS, "prompt": ""}, "files": {"image": image_file()}}, 400, "missing_required_parameter", "prompt"),
    ({"data": {**FIELDS, "prompt": "x" * 140_000}, "files": {"image": image_file()}}, 413, "request_too_large", None),
    ({"data": {f"f{n}": "x" for n in range(70)}, "files": {"image": image_file()}}, 400, "invalid_form", None),
    ({"data": {**FIELDS, "image": "text"}, "files": {"mask": mask_file()}}, 400, "invalid_type", "image"),
    ({"json": FIELDS}, 400, "missing_required_parameter", "image"),
    ({"json": {**FIELDS, "images": []}}, 400, "empty_array", "images"),
    ({"json": {**FIELDS, "images": [{"file_id": "file-1"}]}}, 400, "unsupported_parameter", "images[0].file_id"),
    ({"json": {**FIELDS, "images": [{"image_url": "https://x.example/a"}]}}, 400, "unsupported_value", "images[0]"),
    ({"json": {**FIELDS, "images": [{"image_url": "data:image/png;base64,%%%%"}]}}, 400, "invalid_value", "image"),
    ({"json": {**FIELDS, "images": [data_url(image_file())] * 17}}, 400, "array_above_max_length", "image"),
    ({"json": {**FIELDS, "prompt": data_url(image_file())}}, 400, "invalid_value", None),
    ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "unsupported_content_type", None),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code", "param"), REFUSED)
def test_what_is_refused(
    gateway: RunningGateway, sandbox: SandboxServer, sent: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = edit(gateway, gateway.store.key(), **dict(sent))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error
    check_nothing_left(gateway, sandbox, 0)


def test_variations_name_edits(gateway: RunningGateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.store.key().text}"}
    answer = httpx2.post(f"{gateway.url}/images/variations", headers=headers, files={"image": image_file()})
    assert answer.status_code == 404
    assert "/v1/images/edits" in answer.json()["error"]["message"]


def test_the_disk_is_shared(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, upload_bytes_max=1_000_000, uploads_bytes_max=1_000_000)
    files = {"image": large_image(1_000_001)}
    answer = edit(gateway, gateway.store.key(), data=FIELDS, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    check_nothing_left(gateway, sandbox, 0)


def test_metrics_and_the_log_tell_what_came_in(gateway: RunningGateway) -> None:
    files = [("image[]", image_file()), ("image[]", image_file())]
    edit(gateway, gateway.store.key(), data=FIELDS, files=files)
    labels = {"operation": "edit", "model": "gpt-image-2"}
    name = "zenmux_gateway_requests_total"
    wait_until(lambda: gateway.metric(name, outcome="completed", **labels) == 1, "the request is counted")
    assert gateway.metric("zenmux_gateway_input_images_total", **labels) == 2
    assert gateway.metric("zenmux_gateway_received_bytes_total", **labels) == 2 * len(image_file())
    assert gateway.metric("zenmux_gateway_tokens_total", direction="input", modality="image", **labels) == 2048


def test_addresses_can_be_forwarded(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, image_urls="forward")
    images = [{"image_url": "https://example.com/a.png"}, {"image_url": data_url(image_file())}]
    images_of(edit(gateway, gateway.store.key(), json={**FIELDS, "images": images, "mask": data_url(mask_file())}))
    (row,) = gateway.store.settled(1)
    assert row["input_image_tokens"] == 1536 + 1024  # what the sandbox makes of an address, and of the other
    check_nothing_left(gateway, sandbox, 1)
    answer = edit(gateway, gateway.store.key(), json={**FIELDS, "images": ["http://example.com/a.png"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")


def test_addresses_are_fetched_from_where_they_may(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, image_urls="fetch")
    for url in ("https://127.0.0.1/a.png", "https://[::1]/a.png", "https://169.254.169.254/a", "http://example.com/a"):
        answer = edit(gateway, gateway.store.key(), json={**FIELDS, "images": [url]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_image_url")
    check_nothing_left(gateway, sandbox, 0)


async def test_an_image_behind_an_address_is_fetched_and_edited(
    start_gateway: StartGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the port, the certificate and where `localhost` is are the test's own."""
    fetched = image_file((341, 512), "WEBP")

    async def respond(connection: Connection) -> None:
        await connection.send(whole(fetched if b"/a.webp" in server.requests[-1] else b"GIF89a" + bytes(100)))
        raise EOFError

    async with serve(respond, tls=served_as()) as server:
        monkeypatch.setattr(main, "Fetcher", lambda hosts, _: Fetcher(hosts, trusting, to_loopback, server.port))
        gateway = start_gateway(sandbox.url, image_urls="fetch", image_url_hosts="localhost")
        key = gateway.store.key()

        def ask(url: str) -> httpx2.Response:
            return edit(gateway, key, json={**FIELDS, "images": [{"image_url": url}, data_url(image_file())]})

        images_of(await asyncio.to_thread(ask, "https://localhost/a.webp"))
        (row,) = gateway.store.settled(1)
        assert (row["input_images"], row["input_image_tokens"]) == (2, 704 + 1024)
        answer = await asyncio.to_thread(ask, "https://localhost/a.gif")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, BAD_FILE)
        assert len(server.requests) == 2
    check_nothing_left(gateway, sandbox, 1)


def test_nobody_fills_the_disk_alone(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    """A user's share is one whole upload here: what is half there leaves no room for the same user's next."""
    limits = {"upload_bytes_max": 1_000_000, "uploads_bytes_max": 1_500_000, "user_in_flight_percent": 1}
    gateway = start_gateway(sandbox.url, **limits)
    ann, bob = gateway.store.key(user="ann"), gateway.store.key(user="bob")
    begun = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + large_image(900_000)
    head = (
        f"POST /v1/images/edits HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ann.text}\r\n"
        "content-type: multipart/form-data; boundary=x\r\ncontent-length: 950000\r\n\r\n"
    )
    files = {"image": large_image(400_000)}
    with ExitStack() as stack:
        held: list[socket.socket] = []

        def hold() -> None:
            held[:] = [stack.enter_context(socket.create_connection(gateway.socket.getsockname()))]
            held[0].sendall(head.encode() + begun)

        def is_full() -> bool:
            answer = edit(gateway, ann, data={**FIELDS, "prompt": ""}, files=files)
            if answer.status_code == 503 and answer.json()["error"]["code"] == "uploads_full":
                return True
            if select.select(held, [], [], 0)[0]:  # this one was read first, and the one that is held was refused
                hold()
            return False

        hold()
        wait_until(is_full, "the share is used up")
        bobs = edit(gateway, bob, data={**FIELDS, "prompt": ""}, files=files)
        assert bobs.json()["error"]["param"] == "prompt"  # it was read whole
    (gateway.settings.data_dir / "uploads").rmdir()
    answer = edit(gateway, bob, data=FIELDS, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "uploads_full")
    assert gateway.store.rows() == []
    assert fetch_json(sandbox.bill_url)["count"] == 0
