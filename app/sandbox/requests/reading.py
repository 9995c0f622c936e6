"""Reads request bodies: JSON and forms, bounded, uploads spooled to disk. Finds the sizes of the images in them; checks
no rule of images.
"""

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Final

import anyio.to_thread
from PIL import Image
from starlette.requests import Request

from app.sandbox.options import SandboxOptions
from app.sandbox.requests.asked import BOOLEANS, INTEGERS
from app.sandbox.requests.forms import Part, read_parts
from app.sandbox.requests.refusals import SandboxRefusal, from_table, openai, zenmux
from app.sandbox.requests.values import from_form, wrong_type

Size = tuple[int, int]

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_FORM: Final = "multipart/form-data"
_FILE_BYTES_MAX: Final = 50_000_000
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_URL_TOKENS_SIZE: Final = (1536, 1024)  # the assumed size of an image behind a URL: it is not fetched


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request body as JSON values, and the images that came with it: their (width, height), and their files, with
    None for what stands behind a URL."""

    fields: dict[str, object]
    inputs: tuple[Size, ...] = ()
    images: tuple[IO[bytes] | None, ...] = ()
    mask: IO[bytes] | None = None


async def read_body(request: Request, operation: str, options: SandboxOptions, stack: ExitStack) -> RequestBody:
    """The body of an image request; `stack` closes its files. Raises SandboxRefusal, and ClientDisconnect when it does
    not come whole."""
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "application/json":
        if operation == "edit" and options.json_edits_fail:
            raise from_table(500, "internal_server_error", request.scope["state"]["request_id"])
        bytes_max = options.json_edit_bytes_max if operation == "edit" else options.json_bytes_max
        fields = _object(b"".join([chunk async for chunk in _bounded(request, bytes_max)]))
        return await anyio.to_thread.run_sync(_json_body, fields) if operation == "edit" else RequestBody(fields)
    if media_type == _FORM and operation == "edit":
        parts = await read_parts(content_type, _bounded(request, options.upload_bytes_max), stack)
        return await anyio.to_thread.run_sync(_form_body, parts)
    raise zenmux(400, "invalid_params", f"Content-Type '{media_type[:100]}' is not supported")


async def _bounded(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > bytes_max:
            raise zenmux(413, "invalid_params", f"Request body is larger than {bytes_max} bytes")
        yield chunk


def _object(body: bytes) -> dict[str, object]:
    try:
        fields = json.loads(body)
        if _SURROGATE.search(body):
            json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair is not text
    except (ValueError, RecursionError):
        raise zenmux(400, "invalid_params", "Request body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise zenmux(400, "invalid_params", "Request body is not a JSON object")
    return fields


def _form_body(parts: Sequence[Part]) -> RequestBody:
    """Fields and images of a form, with OpenAI's refusals of those that stand in the wrong place."""
    texts: dict[str, str] = {}
    images: list[Part] = []
    mask: IO[bytes] | None = None
    for part in parts:
        bare = part.name.removesuffix("[]")
        if bare == "images":
            raise openai(
                "Invalid value: 'images'. For multipart/form-data use 'image' or 'image[]'.",
                code="invalid_value", param="images",
            )  # fmt: skip
        if bare not in ("image", "mask", "markup"):
            if part.is_file:
                raise wrong_type(part.name, "a string", {})
            texts[part.name] = part.text
        elif not part.is_file:
            param = f"{bare}[0]" if part.name.endswith("[]") else bare
            raise openai(
                f"Invalid type for '{param}': expected a file, but got a string instead.",
                code="invalid_type", param=param,
            )  # fmt: skip
        elif bare == "image":
            images.append(part)
        else:
            _size_of(part.file, bare, part.size)
            mask = part.file if bare == "mask" else mask
    sizes = tuple(_size_of(part.file, "image", part.size) for part in images)
    return RequestBody(from_form(texts, INTEGERS, BOOLEANS), sizes, tuple(part.file for part in images), mask)


def _json_body(fields: dict[str, object]) -> RequestBody:
    if "image" in fields:
        raise openai(
            "Unknown parameter: 'image'. For application/json on /v1/images/edits, use 'images' (array).",
            code="invalid_value", param="image",
        )  # fmt: skip
    images = fields.get("images", [])
    if not isinstance(images, list):
        raise wrong_type("images", "an array of objects", images)
    if "images" in fields and not images:
        raise openai("Invalid 'images': empty array.", code="empty_array", param="images")
    mask = None if fields.get("mask") is None else _referenced(fields["mask"], "mask")[1]
    found = [_referenced(image, f"images[{index}]") for index, image in enumerate(images)]
    return RequestBody(fields, tuple(size for size, _ in found), tuple(file for _, file in found), mask)


def _referenced(image: object, param: str) -> tuple[Size, IO[bytes] | None]:
    """An image given as a data URL, and its size; web addresses are believed, files there are none."""
    url = image.get("image_url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        raise openai(f"Invalid '{param}': expected an 'image_url'.", code="invalid_value", param=param)
    if url.startswith("https://"):
        return _URL_TOKENS_SIZE, None
    head, _, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise _not_an_image(param)
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _not_an_image(param) from None
    file = BytesIO(decoded)
    return _size_of(file, param, len(decoded)), file


def _size_of(file: IO[bytes], param: str, size_bytes: int) -> Size:
    """Reads only the head of the file; decodes nothing."""
    if size_bytes > _FILE_BYTES_MAX:
        raise _not_an_image(param, f" It is larger than {_FILE_BYTES_MAX} bytes.")
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.format not in _FORMATS:  # multi-image JPEGs of phones, which OpenAI refuses
                raise _not_an_image(param)
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _not_an_image(param) from None


def _not_an_image(param: str, reason: str = "") -> SandboxRefusal:
    return openai(f"Invalid image file.{reason}", code="invalid_image_file", param=param)
