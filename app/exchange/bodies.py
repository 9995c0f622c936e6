"""What goes to ZenMux: a document, or a form that is streamed, with its length known beforehand. Knows no image."""

import binascii
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from app.upstream.sending import Upload, UpstreamBody


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form: `read` gives its `size` bytes, once. Its names are ours and need no escaping."""

    name: str
    filename: str
    content_type: str
    size: int
    read: Callable[[], AsyncIterator[bytes]]
    url: str | None = None  # where ZenMux finds it instead: such a file goes into a document only


def json_body(fields: Mapping[str, object]) -> UpstreamBody:
    return UpstreamBody(orjson.dumps(dict(fields)), "application/json")


def edit_body(
    fields: Mapping[str, object],
    files: Sequence[FormFile],
    new_boundary: Callable[[], str],
    on_sent: Callable[[], Awaitable[None]],
) -> UpstreamBody:
    """A form, but where ZenMux is to fetch an image: a form has no place for addresses. `on_sent` is awaited once all
    of it was taken: the files are not read again."""
    is_document = any(file.url is not None for file in files)
    body = document_body(fields, files) if is_document else form_body(fields, files, new_boundary())
    assert isinstance(body.content, Upload)
    return replace(body, content=replace(body.content, chunks=_and_then(body.content.chunks, on_sent)))


async def _and_then(chunks: AsyncIterable[bytes], on_end: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    await on_end()


def form_body(fields: Mapping[str, object], files: Iterable[FormFile], boundary: str) -> UpstreamBody:
    """The fields, then the files. `boundary` must be one that nobody can guess."""
    parts = list(_parts(fields, files, boundary.encode()))
    length = sum(part.size if isinstance(part, FormFile) else len(part) for part in parts)
    return UpstreamBody(Upload(_chunks(parts), length), f"multipart/form-data; boundary={boundary}")


def document_body(fields: Mapping[str, object], files: Sequence[FormFile]) -> UpstreamBody:
    """An edit as JSON, for files that stay behind their addresses; the others are data URLs in it."""
    parts: list[bytes | FormFile] = [orjson.dumps(dict(fields))[:-1]]
    images = [file for file in files if file.name == "image[]"]
    for number, file in enumerate(images):
        parts += [b"," if number else b',"images":[', *_reference(file)]
    parts.append(b"]")
    for file in files:
        if file.name != "image[]":
            parts += [b',"%b":' % file.name.encode(), *_reference(file)]
    parts.append(b"}")
    length = sum((part.size + 2) // 3 * 4 if isinstance(part, FormFile) else len(part) for part in parts)
    return UpstreamBody(Upload(_base64_chunks(parts), length), "application/json")


def _reference(file: FormFile) -> list[bytes | FormFile]:
    if file.url is not None:
        return [orjson.dumps({"image_url": file.url})]
    return [b'{"image_url":"data:%b;base64,' % file.content_type.encode(), file, b'"}']


async def _base64_chunks(parts: Iterable[bytes | FormFile]) -> AsyncIterator[bytes]:
    for part in parts:
        if not isinstance(part, FormFile):
            yield part
            continue
        rest = b""
        async for chunk in part.read():
            data = rest + chunk
            whole = len(data) // 3 * 3
            rest = data[whole:]
            yield binascii.b2a_base64(data[:whole], newline=False)
        if rest:
            yield binascii.b2a_base64(rest, newline=False)


def _parts(fields: Mapping[str, object], files: Iterable[FormFile], boundary: bytes) -> Iterator[bytes | FormFile]:
    head = b"".join(_field(name, value, boundary) for name, value in fields.items())
    for file in files:
        names = f'name="{file.name}"; filename="{file.filename}"\r\nContent-Type: {file.content_type}'
        yield head + b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n" % (boundary, names.encode())
        yield file
        head = b"\r\n"
    yield head + b"--%b--\r\n" % boundary


def _field(name: str, value: object, boundary: bytes) -> bytes:
    text = value.encode() if isinstance(value, str) else orjson.dumps(value)
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name.encode(), text)


async def _chunks(parts: Iterable[bytes | FormFile]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, FormFile):
            async for chunk in part.read():
                yield chunk
        else:
            yield part
