"""Documents whose images are taken out while they pass, cut anywhere."""

import base64
import json
import os
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.edits.data_urls import DATA_URLS_MAX, DataUrls
from app.errors import BodyTooLarge, InvalidRequest
from tests.api.edits.asking import cut
from tests.examples import examples
from tests.image_files import data_url


async def nothing() -> None:
    """A data URL ends, and nobody does anything about it."""


async def read(document: bytes, step: int = 65_536, rest_bytes_max: int = 1_000_000) -> tuple[Any, list[bytes]]:
    """What is left, parsed, and the data."""
    found: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        for piece in cut(document, step):
            yield piece

    async def write(data: bytes) -> None:
        found[-1] += data

    reader = DataUrls(rest_bytes_max, lambda: found.append(b""), write, nothing)
    rest = await reader.read(chunks())
    try:
        return json.loads(rest), found
    except ValueError:
        return None, found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 64, 65_536])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1000])
async def test_data_comes_out_as_it_was(step: int, size: int) -> None:
    data = os.urandom(size)
    document = {"prompt": 'a "fox" \\', "images": [{"image_url": data_url(data)}, data_url(b"x", "jpeg")], "n": 2}
    expected = {"prompt": 'a "fox" \\', "images": [{"image_url": "data:0"}, "data:1"], "n": 2}
    for text in (json.dumps(document), json.dumps(document).replace("/", "\\/"), json.dumps(document, indent=3)):
        assert await read(text.encode(), step) == (expected, [data, b"x"])


@given(
    texts=st.lists(
        st.text(max_size=30)
        | st.sampled_from(["data:", "data:image/png;base64", "DATA:;base64,eA==", "data:\\;base64,"]),
        max_size=6,
    ),
    step=st.integers(1, 40),
    ascii_=st.booleans(),
)
@settings(max_examples=examples(300))
async def test_other_texts_are_left_as_they_are(texts: list[str], step: int, ascii_: bool) -> None:
    rest, found = await read(json.dumps(texts, ensure_ascii=ascii_).encode(), step)
    kept = [text for text in texts if text != "DATA:;base64,eA=="]
    assert [text for text in rest if text not in [f"data:{n}" for n in range(len(found))]] == kept
    assert found == [b"x"] * (len(texts) - len(kept))


@pytest.mark.parametrize(
    "text", ["data:;base64,%%%%", "data:;base64,eA=a", "data:;base64,eA==eA==", "data:;base64,e", "data:;base64,eA\\n="]
)
async def test_what_is_no_base64_is_refused(text: str) -> None:
    for step in (1, 4, 65_536):
        with pytest.raises(InvalidRequest, match="not base64"):
            await read(b'["' + text.encode() + b'"]', step)


async def test_missing_padding_is_forgiven() -> None:
    assert await read(b'["data:;base64,eA"]', 1) == (["data:0"], [b"x"])


async def test_the_rest_and_the_number_are_bounded() -> None:
    with pytest.raises(BodyTooLarge):
        await read(b'["' + b"x" * 2000 + b'"]', rest_bytes_max=1000)
    with pytest.raises(InvalidRequest, match="more than"):
        await read(json.dumps([data_url(b"x")] * (DATA_URLS_MAX + 1)).encode())


async def test_no_image_is_held() -> None:
    block = base64.b64encode(bytes(48 * 1024))

    async def chunks() -> AsyncIterator[bytes]:
        yield b'["data:image/png;base64,'
        for _ in range(300):
            yield block
        yield b'"]'

    size = 0

    async def write(data: bytes) -> None:
        nonlocal size
        size += len(data)

    tracemalloc.start()
    await DataUrls(1000, lambda: None, write, nothing).read(chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 300 * 48 * 1024
    assert peak < 1_000_000
