"""Reads request bodies: JSON and forms, bounded, uploads spooled to disk. Finds the sizes of the images in them; checks
no rule of images.
"""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Final

import anyio.to_thread
from PIL import Image
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from app.sandbox.options import SandboxOptions
from app.sandbox.requests.asked import BOOLEANS, INTEGERS
from app.sandbox.requests.refusals import SandboxRefusal, openai, zenmux
from app.sandbox.requests.values import from_form, wrong_type

Size = tuple[int, int]

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_FORM: Final = "multipart/form-data"
_FILE_BYTES_MAX: Final = 50_000_000
_FILES_MAX: Final = 20
_FIELDS_MAX: Final = 64
_FIELD_BYTES_MAX: Final = 200_000  # 32,000 characters of prompt are at most 128,000 bytes
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_URL_TOKENS_SIZE: Final = (1536, 1024)  # the assumed size of an image behind a URL: it is not fetched


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request body as JSON values, and the images that came with it as (width, height)."""

    fields: dict[str, object]
    inputs: tuple[Size, ...] = ()


async def read_body(request: Request, operation: str, options: SandboxOptions) -> RequestBody:
    """The body of an image request. Raises SandboxRefusal, and ClientDisconnect if it does not come completely."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "application/json":
        bytes_max = options.json_edit_bytes_max if operation == "edit" else options.json_bytes_max
        fields = _object(await Request(request.scope, _bounded(request.receive, bytes_max)).body())
        inputs = await anyio.to_thread.run_sync(_json_inputs, fields) if operation == "edit" else ()
        return RequestBody(fields, inputs)
    if media_type == _FORM and operation == "edit":
        async with _form(request, options.upload_bytes_max) as form:
            return await anyio.to_thread.run_sync(_form_body, form)
    raise zenmux(400, "invalid_params", f"Content-Type '{media_type[:100]}' is not supported")


def _bounded(receive: Receive, bytes_max: int) -> Receive:
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > bytes_max:
            raise zenmux(413, "invalid_params", f"Request body is larger than {bytes_max} bytes")
        return message

    return bounded


@contextlib.asynccontextmanager
async def _form(request: Request, bytes_max: int) -> AsyncIterator[FormData]:
    bounded = Request(request.scope, _bounded(request.receive, bytes_max))
    async with bounded.form(max_files=_FILES_MAX, max_fields=_FIELDS_MAX, max_part_size=_FIELD_BYTES_MAX) as form:
        yield form


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


def _form_body(form: FormData) -> RequestBody:
    """Fields and images of a form, with OpenAI's refusals of those in the wrong place."""
    texts: dict[str, str] = {}
    files: list[UploadFile] = []
    for name, value in form.multi_items():
        bare = name.removesuffix("[]")
        if bare == "images":
            raise openai(
                "Invalid value: 'images'. For multipart/form-data use 'image' or 'image[]'.",
                code="invalid_value", param="images",
            )  # fmt: skip
        if bare not in ("image", "mask", "markup"):
            if isinstance(value, UploadFile):
                raise wrong_type(name, "a string", {})
            texts[name] = value
        elif not isinstance(value, UploadFile):
            param = f"{bare}[0]" if name.endswith("[]") else bare
            raise openai(
                f"Invalid type for '{param}': expected a file, but got a string instead.",
                code="invalid_type", param=param,
            )  # fmt: skip
        elif bare == "image":
            files.append(value)
        else:
            _size_of(value.file, bare, value.size or 0)
    inputs = tuple(_size_of(file.file, "image", file.size or 0) for file in files)
    return RequestBody(from_form(texts, INTEGERS, BOOLEANS), inputs)


def _json_inputs(fields: dict[str, object]) -> tuple[Size, ...]:
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
    if fields.get("mask") is not None:
        _referenced(fields["mask"], "mask")
    return tuple(_referenced(image, f"images[{index}]") for index, image in enumerate(images))


def _referenced(image: object, param: str) -> Size:
    """The size of an image given as a data URL. Web addresses are accepted as they are; there are no files."""
    url = image.get("image_url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        raise openai(f"Invalid '{param}': expected an 'image_url'.", code="invalid_value", param=param)
    if url.startswith("https://"):
        return _URL_TOKENS_SIZE
    head, _, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise _not_an_image(param)
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _not_an_image(param) from None
    return _size_of(BytesIO(decoded), param, len(decoded))


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
