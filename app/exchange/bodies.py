"""What goes to ZenMux: a document, or a form that is streamed, with its length known beforehand. Knows no image."""

import binascii
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.upstream.sending import Upload, UpstreamBody


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form. `read` gives its `size` bytes at each call. Its names are ours and need no escaping."""

    name: str
    filename: str
    content_type: str
    size: int
    read: Callable[[], AsyncIterator[bytes]]
    url: str | None = None  # where ZenMux finds it instead: such a file goes into a document only


def json_body(fields: Mapping[str, object]) -> UpstreamBody:
    encoded = memoryview(orjson.dumps(dict(fields))).tobytes()  # a copy: orjson's own bytes occupy 4 KB, however short
    return UpstreamBody(encoded, "application/json")


def edit_body(
    fields: Mapping[str, object],
    files: Sequence[FormFile],
    new_boundary: Callable[[], str],
    on_sent: Callable[[], Awaitable[None]] | None,
) -> UpstreamBody:
    """A form, but where ZenMux is to fetch an image: a form has no place for addresses. `on_sent` is awaited once all
    of it was taken: the files are not read again. With None they may be."""
    is_document = any(file.url is not None for file in files)
    if is_document:
        return document_body(fields, files, on_sent)
    return form_body(fields, files, new_boundary(), on_sent)


class _Chunks(AsyncIterable[bytes]):
    """Gives the same chunks each time it is read. `on_end` is awaited behind the last one."""

    def __init__(self, read: Callable[[], AsyncIterator[bytes]], on_end: Callable[[], Awaitable[None]] | None) -> None:
        self._read = read
        self._on_end = on_end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._read():
            yield chunk
        if self._on_end is not None:
            await self._on_end()


def form_body(
    fields: Mapping[str, object],
    files: Iterable[FormFile],
    boundary: str,
    on_sent: Callable[[], Awaitable[None]] | None = None,
) -> UpstreamBody:
    """The fields, then the files. `boundary` must be one that nobody can guess."""
    parts = list(_parts(fields, files, boundary.encode()))
    length = sum(part.size if isinstance(part, FormFile) else len(part) for part in parts)
    chunks = _Chunks(lambda: _chunks(parts), on_sent)
    content_type = f"multipart/form-data; boundary={boundary}"
    return UpstreamBody(Upload(chunks, length), content_type, is_kept=on_sent is None)


def document_body(
    fields: Mapping[str, object],
    files: Sequence[FormFile],
    on_sent: Callable[[], Awaitable[None]] | None = None,
) -> UpstreamBody:
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
    chunks = _Chunks(lambda: _base64_chunks(parts), on_sent)
    return UpstreamBody(Upload(chunks, length), "application/json", is_kept=on_sent is None)


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
