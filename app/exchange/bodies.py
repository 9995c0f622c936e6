"""What goes to ZenMux: a document, or a form that is streamed, with its length known beforehand. Knows no image."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

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


def json_body(fields: Mapping[str, object]) -> UpstreamBody:
    return UpstreamBody(orjson.dumps(dict(fields)), "application/json")


def form_body(fields: Mapping[str, object], files: Iterable[FormFile], boundary: str) -> UpstreamBody:
    """The fields, then the files. `boundary` must be one that nobody can guess."""
    parts = list(_parts(fields, files, boundary.encode()))
    length = sum(part.size if isinstance(part, FormFile) else len(part) for part in parts)
    return UpstreamBody(Upload(_chunks(parts), length), f"multipart/form-data; boundary={boundary}")


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
