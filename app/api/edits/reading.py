"""Reads the body of an edit, form or JSON, with its images going to disk. The one way in to this folder."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from app.api.body import parse_json_object
from app.api.edits.collecting import Collector, Lying
from app.api.edits.data_urls import DATA_URLS_MAX, PLACEHOLDER, DataUrls
from app.api.edits.form import FormReader
from app.api.edits.references import Reference, no_such_image, remote_refused, take_references, too_many
from app.api.headers import header
from app.errors import BodyTooLarge, ClientLeft, UnsupportedContentType
from app.exchange.bodies import FormFile
from app.exchange.replay.fingerprint import FileDigest
from app.files.fetching import Fetcher
from app.files.uploads import UploadFile
from app.images.request.inputs import IMAGE, Inputs

_URL_LENGTH_MAX = 4096
_FORM_OVERHEAD_BYTES = 1_048_576  # text fields, boundaries and headers, beside the images


@dataclass(frozen=True, slots=True)
class EditBounds:
    """From the settings: `upload_bytes_max` of images, `body_bytes_max` of a JSON document beside them. Addresses of
    images are refused, unless there is a `fetcher`, or ZenMux is to fetch them (`forwards_urls`)."""

    upload_bytes_max: int
    body_bytes_max: int
    lenient: bool
    forwards_urls: bool = False
    fetcher: Fetcher | None = None


@dataclass(frozen=True, slots=True)
class EditBody:
    """What came: the fields as JSON values, the images by their heads, and where each lies in the upload."""

    fields: dict[str, object]
    inputs: Inputs
    images: list[Lying]


def files_of(body: EditBody, upload: UploadFile) -> list[FormFile]:
    """The images as they are sent on, under names of our own: a caller's may be anything."""
    files = []
    for image in body.images:
        kind = image.role.kind
        name = "image[]" if kind == IMAGE else kind
        if image.url is not None:
            files.append(FormFile(name, "", "", 0, partial(upload.read, 0, 0), image.url))
            continue
        assert image.head is not None, "read_edit has read it"
        filename = f"{kind}-{image.role.number}.{image.head.format}"
        read = partial(upload.read, image.offset, image.size)
        files.append(FormFile(name, filename, f"image/{image.head.format}", image.size, read))
    return files


def digests_of(body: EditBody) -> list[FileDigest]:
    """What each image is, for the request's fingerprint."""
    return [
        FileDigest(image.role.kind, image.digest if image.url is None else image.url.encode()) for image in body.images
    ]


async def read_edit(request: Request, upload: UploadFile, bounds: EditBounds) -> EditBody:
    """Raises InvalidRequest, BodyTooLarge, UnsupportedContentType, UploadsFull, ClientLeft."""
    content_type = header(request, b"content-type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    encoding = header(request, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedContentType("Compressed request bodies are not read. Send the body as it is.")
    collector = Collector(upload, bounds.upload_bytes_max)
    if media_type == "multipart/form-data":
        chunks = _chunks(request, bounds.upload_bytes_max + _FORM_OVERHEAD_BYTES)
        fields = await FormReader(content_type, collector).read(chunks)
    elif media_type == "application/json":
        chunks = _chunks(request, bounds.upload_bytes_max // 3 * 4 + bounds.body_bytes_max)
        fields = await _read_json(chunks, collector, bounds)
    else:
        shown = f"'{media_type[:80]}'" if media_type else "no content type"
        raise UnsupportedContentType(f"This route reads multipart/form-data and application/json, not {shown}.")
    return EditBody(fields, await collector.inputs(), collector.images)


async def _read_json(chunks: AsyncIterator[bytes], collector: Collector, bounds: EditBounds) -> dict[str, object]:
    reader = DataUrls(bounds.body_bytes_max, collector.begin_unknown, collector.write, collector.end)
    document = parse_json_object(await reader.read(chunks))
    fields, references = take_references(document, lenient=bounds.lenient)
    places = []
    for reference in references:
        placeholder = PLACEHOLDER.fullmatch(reference.url)
        if placeholder is None:
            places.append((reference.kind, len(collector.images)))
            await _take_remote(reference, collector, bounds)
        else:
            places.append((reference.kind, int(placeholder[1])))
    collector.assign(places)
    return fields


async def _take_remote(reference: Reference, collector: Collector, bounds: EditBounds) -> None:
    if not reference.url[:8].lower().startswith(("http://", "https://")):
        raise no_such_image(reference)
    if len(collector.images) == DATA_URLS_MAX:
        raise too_many(reference)
    if bounds.forwards_urls:
        if not reference.url.startswith("https://") or len(reference.url) > _URL_LENGTH_MAX:
            raise no_such_image(reference)
        collector.begin_remote(reference.url)
    elif bounds.fetcher is not None:
        collector.begin_unknown()
        await bounds.fetcher.fetch(reference.url, reference.param, collector.write)
        await collector.end()
    else:
        raise remote_refused(reference)


async def _chunks(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises BodyTooLarge, before any of it is read where its head says so, and ClientLeft."""
    declared = header(request, b"content-length")
    received = int(declared[:20]) if declared is not None and declared.isdecimal() else 0
    if received <= bytes_max:
        received, is_whole = 0, False
        while not is_whole:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft("The client left while it was sending its request.")
            chunk: bytes = message.get("body", b"")
            received += len(chunk)
            if received > bytes_max:
                break
            if chunk:
                yield chunk
            is_whole = not message.get("more_body", False)
        else:
            return
    raise BodyTooLarge(f"The request is larger than {bytes_max} bytes.")
