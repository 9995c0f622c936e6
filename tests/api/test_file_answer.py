"""A kept file as an answer: left to a server that sends files itself, or read piece by piece."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.api.byte_range import ByteRange
from app.api.file_answer import FileAnswer
from app.files.sending import FILE_PART
from app.files.store.index import Kind
from app.files.store.store import FileStore, OpenFile
from tests.files.store.making import ANN, Files

CONTENT = bytes(range(256)) * 1000


async def opened(store: FileStore) -> OpenFile:
    writer = await store.create(Kind.IMAGE, ANN, "req_1", "image/png", 60)
    await writer.write(CONTENT)
    file = await store.open((await writer.commit()).id)
    assert file is not None
    return file


async def sent(file: OpenFile, extensions: dict[str, object]) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any: ...

    part = ByteRange(100, 200_100, is_partial=True)
    await FileAnswer(file, part, {}, 60)({"type": "http", "method": "GET", "extensions": extensions}, receive, send)
    return messages


@pytest.mark.parametrize("is_sent", [True, False], ids=["the server", "the gateway"])
async def test_who_reads_the_file(engine: Engine, tmp_path: Path, is_sent: bool) -> None:
    store = Files(engine, tmp_path / "files").make()
    await store.start()
    file = await opened(store)
    descriptor = file.descriptor
    head, *parts, last = await sent(file, {FILE_PART: {}} if is_sent else {})
    assert (b"content-length", b"200000") in head["headers"]
    assert last == {"type": "http.response.body", "body": b"", "more_body": False}
    if is_sent:
        expected = {"type": FILE_PART, "file": descriptor, "offset": 100, "count": 200_000, "more_body": True}
        assert parts == [expected]
    else:
        assert b"".join(part["body"] for part in parts) == CONTENT[100:200_100]
    assert file.descriptor == -1  # closed
    await store.close()
