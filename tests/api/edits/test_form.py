"""Forms cut anywhere and broken anyhow: every one is read or refused, and nothing is left behind."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.edits.collecting import Collector
from app.api.edits.form import TEXT_BYTES_MAX, FormReader
from app.errors import BodyTooLarge, CallerError, InvalidRequest
from tests.api.edits.asking import FORM, cut, form, part, upload_in
from tests.examples import examples
from tests.image_files import image_file

PNG = image_file()
WHOLE = form(part("prompt", b"A fox"), part("image", PNG, "a.png"), part("n", b"2"))


async def read(body: bytes, folder: Path, step: int = 65_536, content_type: str = FORM) -> dict[str, object]:
    """The fields, and the images under `files`."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in cut(body, step):
            yield piece

    async with upload_in(folder) as upload:
        collector = Collector(upload, 1_000_000)
        fields = await FormReader(content_type, collector).read(chunks())
        await collector.upload.flush()
        files = [
            (image.role.shown, b"".join([chunk async for chunk in upload.read(image.offset, image.size)]))
            for image in collector.images
        ]
        return {**fields, "files": files}


@pytest.mark.parametrize("step", [1, 2, 3, 13, 100, 65_536])
async def test_a_form_is_read_however_it_is_cut(tmp_path: Path, step: int) -> None:
    assert await read(WHOLE, tmp_path, step) == {"prompt": "A fox", "n": 2, "files": [("image 1", PNG)]}


@pytest.mark.parametrize(
    "filename",
    ["a.png", "/home/ada/a.png", "C:\\\\a.png", "Bär „süß“.png", "a %22b%22.png", "../../etc", "a\x00b", "a;b"],
)
async def test_names_of_files_mean_nothing(tmp_path: Path, filename: str) -> None:
    assert (await read(form(part("image", PNG, filename)), tmp_path))["files"] == [("image 1", PNG)]


async def test_a_file_without_a_name_is_one_by_its_bytes(tmp_path: Path) -> None:
    assert (await read(form(part("image[]", PNG)), tmp_path, 1))["files"] == [("image 1", PNG)]
    with pytest.raises(InvalidRequest, match="expected a file, but got a string") as refused:
        await read(form(part("image[]", b"https://example.com/a.png")), tmp_path, 1)
    assert refused.value.param == "image[0]"


async def test_a_file_input_that_nobody_filled_is_absent(tmp_path: Path) -> None:
    assert await read(form(part("image", b"", ""), part("mask", b"", "")), tmp_path) == {"files": []}
    with pytest.raises(InvalidRequest, match="Invalid image file"):
        await read(form(part("image", b"", "a.png")), tmp_path)


@pytest.mark.parametrize("epilogue", [b"\r\n", b"\r\nand so on", b"x" * 1000])
async def test_what_stands_around_a_form_is_not_read(tmp_path: Path, epilogue: bytes) -> None:
    for step in (1, 65_536):
        assert (await read(b"\r\n" + WHOLE + epilogue, tmp_path, step))["prompt"] == "A fox"


@pytest.mark.parametrize("step", [1, 50, 65_536])
async def test_every_truncation_is_refused(tmp_path: Path, step: int) -> None:
    end = len(WHOLE) - 2  # the last line end is not needed
    ends = range(0, end, 1 if step > 1 else 11)
    for stop in ends:
        with pytest.raises(InvalidRequest) as refused:
            await read(WHOLE[:stop], tmp_path, step)
        assert refused.value.code == "invalid_form"
    await read(WHOLE[:end], tmp_path, step)


BROKEN = [
    (form(*[part(f"f{n}", b"x") for n in range(65)]), "more than 64 parts"),
    (form(part("prompt", b"a"), part("prompt", b"b")), "more than once"),
    (form(part("prompt", b"a", "a.txt")), "got a file instead"),
    (form(part("prompt", b"\xff\xfe")), "not UTF-8"),
    (form(part("", b"x")), "Unknown parameter"),
    (form(part("x" * 100, b"x")), "Unknown parameter"),
    (form(part("images", PNG, "a")), "For multipart/form-data use 'image'"),
    (form(part("images[]", PNG, "a")), "For multipart/form-data use 'image'"),
    (form(part("image", PNG, "a"), part("mask", PNG, "a"), part("mask", PNG, "b")), "Send one mask"),
    (form(*[part("image[]", PNG, "a")] * 17), "maximum length 16"),
    (b"--xyz\r\n\r\nno name\r\n--xyz--", "not a whole form"),
    (b"--xyz\r\nContent-Disposition: attachment\r\n\r\nx\r\n--xyz--", "not a whole form"),
    (b"--xyz\r\n" + b"X-A: b\r\n" * 20 + b"\r\nx\r\n--xyz--", "headers"),
    (b"--xyz\r\nX-A: " + b"b" * 10_000 + b"\r\n\r\nx\r\n--xyz--", "headers"),
    (b"--abc\r\n\r\nx\r\n--abc--", "not a whole form"),
    (b"--xyz--", ""),
]


@pytest.mark.parametrize(("body", "says"), BROKEN)
async def test_what_is_broken_is_refused(tmp_path: Path, body: bytes, says: str) -> None:
    if not says:
        assert await read(body, tmp_path) == {"files": []}
        return
    for step in (1, 65_536):
        with pytest.raises(InvalidRequest, match=says):
            await read(body, tmp_path, step)


async def test_text_and_images_are_bounded(tmp_path: Path) -> None:
    half = b"x" * (TEXT_BYTES_MAX // 2 + 1)
    with pytest.raises(BodyTooLarge, match="text fields"):
        await read(form(part("prompt", half), part("user", half)), tmp_path)
    with pytest.raises(BodyTooLarge, match="together"):
        await read(form(part("image", PNG + b"x" * 1_000_000, "a")), tmp_path)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 300}"],
)
async def test_a_type_without_a_boundary_is_refused(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        await read(WHOLE, tmp_path, content_type=content_type)


NASTY = st.sampled_from(
    [
        *(b"--xyz", b"--xyz--", b"\r\n", b"\n", b"\r", b"--", b"\x00", b'"', b";", b"=", b"\\", PNG, b"\xff\xd8\xff"),
        *(
            b"Content-Disposition: form-data; name=",
            b'name="image"',
            b'filename="',
            b"filename*=utf-8''%00",
            b"n",
            b":",
        ),
        *(part("image", PNG, "a"), part("mask", PNG, "a"), part("n", b"9"), b"Content-Length: 3\r\n", b"x" * 5000),
    ]
)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(NASTY | st.binary(max_size=20), max_size=12),
    at=st.integers(0, len(WHOLE)),
    step=st.sampled_from([1, 7, 64, 65_536]),
    keep=st.booleans(),
)
async def test_whatever_comes_is_read_or_refused(
    tmp_path: Path, pieces: list[bytes], at: int, step: int, keep: bool
) -> None:
    body = WHOLE[:at] + b"".join(pieces) + (WHOLE[at:] if keep else b"")
    with suppress(CallerError):
        await read(body, tmp_path, step)
