"""Bodies: JSON and forms, the images in them, and what is too large or makes no sense."""

import base64
import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from app.sandbox.options import SandboxOptions
from app.sandbox.server import SandboxServer
from tests.sandbox.support import Client, events_of, image_of

FORM = {"model": "gpt-image-2", "prompt": "Make it snow", "quality": "low"}


def file_of(size: tuple[int, int] = (1024, 1024), image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "navy").save(buffer, image_format, **options)
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def edit(client: Client, files: Any, **fields: str) -> httpx2.Response:
    return client.http.post(client.server.url + "/images/edits", data={**FORM, **fields}, files=files)


def raw(client: Client, body: bytes, path: str = "/images/generations", **headers: str) -> httpx2.Response:
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return client.http.post(client.server.url + path, content=body, headers=sent)


@pytest.mark.parametrize("name", ["image", "image[]"])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_forms_are_edited(client: Client, name: str, image_format: str) -> None:
    answer = edit(client, {name: ("a.bin", file_of((341, 512), image_format))}, n="2", output_format="webp")
    assert answer.status_code == 200
    assert [image_of(item).format for item in answer.json()["data"]] == ["WEBP", "WEBP"]
    details = answer.json()["usage"]["input_tokens_details"]
    assert details["image_tokens"] == 704
    row = client.charged()
    assert (row["operation"], row["n"], row["input_image_tokens"]) == ("edit", 2, 704)


def test_several_images_and_a_mask(client: Client) -> None:
    files = [("image[]", ("a", file_of())), ("image[]", ("b", file_of((1536, 1024)))), ("mask", ("m", file_of()))]
    assert edit(client, files).json()["usage"]["input_tokens_details"]["image_tokens"] == 1024 + 1536


def test_forms_can_stream(client: Client) -> None:
    events = events_of(edit(client, {"image": file_of()}, stream="true", partial_images="1").content)
    assert [name for name, _ in events] == ["image_edit.partial_image", "image_edit.completed"]


def test_json_is_edited(client: Client) -> None:
    images = [{"image_url": data_url(file_of((341, 512)))}, {"image_url": "https://example.com/fox.png"}]
    answer = client.draw("Make it snow", path="/images/edits", images=images, mask=None)
    assert answer.status_code == 200
    assert answer.json()["usage"]["input_tokens_details"]["image_tokens"] == 704 + 1536
    assert client.charged()["operation"] == "edit"


def test_a_large_upload_is_read(client: Client) -> None:
    big = file_of() + b"\0" * 8_000_000  # beyond what is spooled in memory
    assert edit(client, {"image": big}).status_code == 200


@pytest.mark.parametrize(
    ("files", "fields", "code", "param"),
    [
        ({}, {"image[]": "text"}, "invalid_type", "image[0]"),
        ({}, {"images": "text"}, "invalid_value", "images"),
        ({}, {}, "missing_required_parameter", "image"),
        ({"image": b"no image"}, {}, "invalid_image_file", "image"),
        ({"image": file_of(image_format="GIF")}, {}, "invalid_image_file", "image"),
        ({"image": file_of(), "mask": b"no image"}, {}, "invalid_image_file", "mask"),
        ({"image": file_of()}, {"n": "abc"}, "invalid_type", "n"),
        ({"image": file_of()}, {"stream": "yes"}, "invalid_type", "stream"),
        ({"image": file_of()}, {"style": "vivid"}, "unknown_parameter", "style"),
        ({"image": file_of(), "prompt": b"a file"}, {}, "invalid_type", "prompt"),
    ],
)
def test_forms_that_make_no_sense_are_refused(
    client: Client, files: Any, fields: dict[str, str], code: str, param: str
) -> None:
    parts: list[tuple[str, Any]] = [
        (name, (None, value)) for name, value in {**FORM, **fields}.items() if name not in files
    ]
    parts += [(name, ("file", data)) for name, data in files.items()]
    answer = client.http.post(client.server.url + "/images/edits", files=parts)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    assert client.rows() == []


def test_phones_multi_image_files_are_refused(client: Client) -> None:
    buffer = io.BytesIO()
    first, second = Image.new("RGB", (64, 64), "navy"), Image.new("RGB", (64, 64), "red")
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert edit(client, {"image": buffer.getvalue()}).json()["error"]["code"] == "invalid_image_file"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"image": "x"}, "invalid_value", "image"),
        ({"images": []}, "empty_array", "images"),
        ({"images": "x"}, "invalid_type", "images"),
        ({"images": [{"file_id": "file-1"}]}, "invalid_value", "images[0]"),
        ({"images": [{"image_url": "data:image/png;base64,!!!"}]}, "invalid_image_file", "images[0]"),
        ({"images": [{"image_url": "ftp://example.com"}]}, "invalid_image_file", "images[0]"),
        ({"images": [{"image_url": "https://example.com"}], "mask": {}}, "invalid_value", "mask"),
        ({}, "missing_required_parameter", "image"),
    ],
)
def test_json_edits_that_make_no_sense_are_refused(
    client: Client, fields: dict[str, Any], code: str, param: str
) -> None:
    answer = client.draw("Make it snow", path="/images/edits", **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"model":"gpt-image-2","prompt":"\\ud800"}']
)
def test_what_is_no_json_object_is_refused(client: Client, body: bytes) -> None:
    answer = raw(client, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_params"


def test_whole_surrogate_pairs_are_text(client: Client) -> None:
    body = b'{"model":"gpt-image-2","prompt":"\\ud83e\\udd8a","quality":"low"}'
    assert raw(client, body).status_code == 200


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/images/generations", "text/plain"),
        ("/images/generations", "multipart/form-data; boundary=x"),
        ("/images/edits", "application/x-www-form-urlencoded"),
    ],
)
def test_other_media_types_are_refused(client: Client, path: str, media_type: str) -> None:
    answer = raw(client, b"{}", path, Content_Type=media_type)
    assert answer.status_code == 400
    assert media_type.partition(";")[0] in answer.json()["error"]["message"]


def test_broken_forms_are_refused(client: Client) -> None:
    for media_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = raw(client, b"--x\r\nbroken", "/images/edits", Content_Type=media_type)
        assert answer.status_code == 400


def test_bodies_are_bounded(client: Client) -> None:
    options = SandboxOptions(json_bytes_max=2000, json_edit_bytes_max=3000, upload_bytes_max=4000)
    with SandboxServer(options=options) as server:
        small = Client(server, client.http)
        assert small.draw("x" * 1000).status_code == 200
        refused = [
            small.draw("x" * 2000),
            small.draw("x" * 3000, path="/images/edits"),
            edit(small, {"image": file_of() + b"\0" * 5000}),
        ]
    for answer in refused:
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] == "invalid_params"


def test_edits_as_json_can_be_made_to_fail() -> None:
    with SandboxServer(options=SandboxOptions(json_edits_fail=True)) as server, httpx2.Client() as http:
        headers = {"Authorization": "Bearer sk-ai-v1-test"}
        answer = http.post(server.url + "/images/edits", json={"prompt": "A fox"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal_server_error")
        form = http.post(server.url + "/images/edits", data=FORM, files={"image": file_of()}, headers=headers)
        assert form.status_code == 200
