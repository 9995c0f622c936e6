"""A kept answer is what was sent, byte for byte, behind its head."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.errors import FilesUnavailable
from app.exchange.replay.kept import KeptAnswers, head_of, read_kept
from tests.files.store.making import ANN, Files


async def pieces(*given: bytes) -> AsyncGenerator[bytes]:
    for piece in given:
        yield piece


async def test_an_answer_comes_back_as_it_was(engine: Engine, tmp_path: Path) -> None:
    store = Files(engine, tmp_path / "files").make()
    await store.start()
    kept = KeptAnswers(store)
    headers = [
        (b"content-type", b"application/json"),
        (b"x-gateway-normalized", b"size=auto"),
        (b"x-ratelimit-limit-requests", b"5"),
    ]
    file = await kept.create(head_of(200, headers, None), ANN, "req_1", 60)
    body = bytes(range(256)) * 20_000
    for start in range(0, len(body), 100_000):
        await file.write(body[start : start + 100_000])
    await file.commit()
    answer = await kept.open(file.id)
    assert answer is not None
    assert answer.head.status == 200
    assert answer.head.headers == headers[:2]  # what is of the first request alone is not kept
    assert answer.head.content_length == len(body)
    assert b"".join([chunk async for chunk in answer.body]) == body
    assert await kept.open("0" * 32) is None
    await store.close()


async def test_a_head_that_comes_in_parts_is_read() -> None:
    answer = await read_kept(
        pieces(b'{"status":200,"hea', b'ders":[["a","b"]],"length":null}', b"\n", b"body\n", b"more")
    )
    assert answer.head == head_of(200, [(b"a", b"b")], None)
    assert b"".join([chunk async for chunk in answer.body]) == b"body\nmore"


@pytest.mark.parametrize("given", [[], [b"x" * 70_000, b"\n"]])
async def test_a_file_without_a_head_is_no_answer(given: list[bytes]) -> None:
    with pytest.raises(FilesUnavailable):
        await read_kept(pieces(*given))
