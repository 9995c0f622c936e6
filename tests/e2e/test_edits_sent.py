"""What ZenMux gets of an edit, byte for byte: an upstream that keeps every request."""

import asyncio
import json
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.test_odd_answers import GOOD
from tests.image_files import data_url, image_file, mask_file
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import RunningGateway

FIELDS = {"model": "gpt-image-2.5-flare", "prompt": "Mach es blau – süß 🦊", "quality": "low", "size": "1024x1024"}
SENT_FIELDS = [(name, None, "openai/gpt-image-2.5-flare" if name == "model" else FIELDS[name]) for name in FIELDS]


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    async def answer(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(document(json.dumps(GOOD).encode()))

    with RawUpstream(answer) as server:
        yield server


def edit(gateway: RunningGateway, **sent: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {gateway.store.key().text}", **sent.pop("headers", {})}
    answer = httpx2.post(f"{gateway.url}/images/edits", headers=headers, timeout=60, **sent)
    assert answer.status_code == 200, answer.text
    return answer


def form_of(upstream: RawUpstream) -> list[tuple[str, str | None, str | bytes]]:
    """The parts of the one form that came, in their order: name, file name and text, or bytes of a file."""
    (request,) = upstream.requests
    assert request.line == "POST /api/v1/images/edits HTTP/1.1"
    assert int(request.headers["content-length"]) == len(request.body)
    assert "transfer-encoding" not in request.headers
    form = message_from_bytes(b"content-type: %b\r\n\r\n%b" % (request.headers["content-type"].encode(), request.body))
    assert form.get_content_type() == "multipart/form-data"
    assert form.defects == []
    parts: list[tuple[str, str | None, str | bytes]] = []
    for part in form.get_payload():
        assert not isinstance(part, str)
        name, filename = part.get_param("name", header="content-disposition"), part.get_filename()
        body = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(body, bytes)
        assert set(part.keys()) == {"Content-Disposition"} | ({"Content-Type"} if filename else set())
        if filename:
            assert part.get_content_type() == f"image/{filename.rpartition('.')[2]}"
        parts.append((name, filename, body if filename else body.decode()))
    return parts


def test_zenmux_gets_a_form_of_ours(start_gateway: StartGateway, upstream: RawUpstream) -> None:
    """The model's whole id for an alias, `image[]` for each image however it was named, no word and no file name of
    the caller's, and a length though the caller sent none."""
    first, second, mask = image_file(), image_file((80, 80), "JPEG"), mask_file()
    sent = httpx2.Request(
        "POST",
        "http://x",
        data={**FIELDS, "model": "gpt-image-2.5-flare-2026-09-08", "style": "vivid", "user": ""},
        files=[
            ("mask", ("../../Maske „süß“.png", mask, "text/plain")),
            ("image", ("/home/ada/secret.bin", first, "application/octet-stream")),
            ("image", ('"; name="prompt".png', second, "image/png")),
        ],
    )
    body = sent.read()
    answer = edit(
        start_gateway(upstream.url),
        content=iter([body[:1000], body[1000:]]),
        headers={"content-type": sent.headers["content-type"]},
    )
    assert form_of(upstream) == [
        *SENT_FIELDS,
        ("mask", "mask-1.png", mask),  # in the caller's order
        ("image[]", "image-1.png", first),
        ("image[]", "image-2.jpeg", second),
    ]
    assert b"ada" not in upstream.requests[0].body
    assert (
        answer.headers["x-gateway-normalized"]
        == "model=gpt-image-2.5-flare-2026-09-08->gpt-image-2.5-flare, style=dropped"
    )


def test_a_markup_goes_on(start_gateway: StartGateway, upstream: RawUpstream) -> None:
    image, markup = image_file(), mask_file()
    edit(start_gateway(upstream.url), data=FIELDS, files={"image": image, "markup": ("drawn over.png", markup)})
    assert form_of(upstream) == [*SENT_FIELDS, ("image[]", "image-1.png", image), ("markup", "markup-1.png", markup)]


def test_a_markup_in_json_goes_on_in_a_form(start_gateway: StartGateway, upstream: RawUpstream) -> None:
    image, markup = image_file(), mask_file()
    images = {"images": [{"image_url": data_url(image)}], "markup": {"image_url": data_url(markup)}}
    edit(start_gateway(upstream.url), json={**FIELDS, **images})
    assert form_of(upstream) == [*SENT_FIELDS, ("image[]", "image-1.png", image), ("markup", "markup-1.png", markup)]


def test_a_markup_goes_on_in_json_beside_an_address(start_gateway: StartGateway, upstream: RawUpstream) -> None:
    markup, url = mask_file(), "https://example.com/a.png"
    edit(
        start_gateway(upstream.url, image_urls="forward"),
        json={**FIELDS, "images": [url], "markup": data_url(markup)},
    )
    (request,) = upstream.requests
    assert int(request.headers["content-length"]) == len(request.body)
    assert json.loads(request.body) == {
        **FIELDS,
        "model": "openai/gpt-image-2.5-flare",
        "images": [{"image_url": url}],
        "markup": {"image_url": data_url(markup)},
    }
