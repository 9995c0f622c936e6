"""Forms, cut anywhere."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import multipart
import pytest

from app.sandbox.requests.forms import Part, read_parts
from app.sandbox.requests.refusals import SandboxRefusal

TYPE = 'multipart/form-data; boundary="x y"'
FORM = (
    b'--x y\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA fox\r\n'
    b'--x y\r\nContent-Disposition: form-data; name="image[]"; filename=""\r\n\r\n\r\n--x \r\n--x y--\r\n'
)


async def read(form: bytes, step: int, stack: ExitStack) -> list[Part]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(form), step):
            yield form[start : start + step]

    return await read_parts(TYPE, chunks(), stack)


def test_the_parser_is_the_maintained_one() -> None:
    """python-multipart, where it is installed, puts a module of the same name in its place."""
    assert multipart.__version__ >= "2.0.1"
    assert multipart.PushMultipartParser.__module__ == "multipart"


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
async def test_parts_are_found_however_the_form_is_cut(step: int) -> None:
    with ExitStack() as stack:
        prompt, image = await read(FORM, step, stack)
        assert (prompt.name, prompt.is_file, prompt.text) == ("prompt", False, "A fox")
        assert (image.name, image.is_file, image.text, image.size) == ("image[]", True, "\r\n--x ", 6)


@pytest.mark.parametrize("end", [0, 10, 60, len(FORM) - 6])
async def test_a_form_that_ends_early_is_refused(end: int) -> None:
    with ExitStack() as stack, pytest.raises(SandboxRefusal):
        await read(FORM[:end], 1000, stack)


async def test_fields_are_bounded() -> None:
    with ExitStack() as stack, pytest.raises(SandboxRefusal, match="larger than 200000 bytes"):
        await read(FORM.replace(b"A fox", b"x" * 200_001), 1000, stack)
