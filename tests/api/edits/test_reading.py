"""Bodies of edits, by their type."""

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from app.api.edits.reading import EditBody, EditBounds, files_of, read_edit
from app.errors import BodyTooLarge, ClientLeft, InvalidRequest, UnsupportedContentType
from tests.api.edits.asking import FORM, cut, form, part, request_of, upload_in
from tests.image_files import data_url, image_file, mask_file

BOUNDS = EditBounds(upload_bytes_max=1_000_000, body_bytes_max=10_000, lenient=True)
DOCUMENT = json.dumps({"prompt": "A fox", "mask": data_url(mask_file()), "images": [data_url(image_file(kind="JPEG"))]})


async def read(folder: Path, body: bytes, content_type: str, **headers: str) -> tuple[EditBody, list[tuple[str, str]]]:
    async with upload_in(folder) as upload:
        found = await read_edit(request_of(cut(body, 100), content_type, **headers), upload, BOUNDS)
        return found, [(file.name, file.filename) for file in files_of(found, upload)]


async def test_both_forms_say_the_same(tmp_path: Path) -> None:
    body = form(part("image", image_file(kind="JPEG"), "a"), part("mask", mask_file(), "b"), part("prompt", b"A fox"))
    for found, files in (
        await read(tmp_path, body, FORM),
        await read(tmp_path, DOCUMENT.encode(), "application/json; charset=utf-8"),
    ):
        assert found.fields == {"prompt": "A fox"}
        assert [head.format for head in found.inputs.images if head] == ["jpeg"]
        assert files == [("image[]", "image-1.jpeg"), ("mask", "mask-1.png")]


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [("", {}), ("text/plain", {}), ("application/json", {"content_encoding": "gzip"})],
)
async def test_other_types_are_refused(tmp_path: Path, content_type: str, headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedContentType):
        await read(tmp_path, b"{}", content_type, **headers)


async def test_an_address_is_refused(tmp_path: Path) -> None:
    body = json.dumps({"images": ["https://example.com/a.png"]}).encode()
    with pytest.raises(InvalidRequest, match="GATEWAY_IMAGE_URLS"):
        await read(tmp_path, body, "application/json")


async def test_a_length_that_is_too_large_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        request = request_of([], FORM, content_length="99999999")
        with pytest.raises(BodyTooLarge):
            await read_edit(request, upload, BOUNDS)


async def test_bytes_are_counted_where_no_length_is_told(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge):
        await read(tmp_path, b"\r\n" + b"x" * 2_100_000, FORM)


async def test_a_client_that_leaves_is_no_form(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        request = request_of([b"--xyz\r\n"], FORM)
        begun = request.receive

        async def receive() -> MutableMapping[str, Any]:
            message = await begun()
            return message if message.get("body") else {"type": "http.disconnect"}

        request._receive = receive
        with pytest.raises(ClientLeft):
            await read_edit(request, upload, BOUNDS)
