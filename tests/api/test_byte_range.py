"""The part of a file that a Range header asks for."""

import pytest

from app.api.byte_range import asked_part


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, (0, 1000, False)),
        ("bytes=0-", (0, 1000, True)),
        ("bytes=0-0", (0, 1, True)),
        ("bytes=10-19", (10, 20, True)),
        ("Bytes= 10 - 19 ", (10, 20, True)),
        ("bytes=990-2000", (990, 1000, True)),
        ("bytes=-100", (900, 1000, True)),
        ("bytes=-5000", (0, 1000, True)),
        ("bytes=1000-", (1000, 1000, True)),
        ("bytes=5000-6000", (1000, 1000, True)),
        ("bytes=-0", (1000, 1000, True)),
        ("bytes=20-10", (0, 1000, False)),
        ("bytes=0-1,5-6", (0, 1000, False)),
        ("bytes=-", (0, 1000, False)),
        ("lines=1-2", (0, 1000, False)),
        ("bytes=" + "9" * 30 + "-", (0, 1000, False)),
    ],
)
def test_what_is_sent(header: str | None, part: tuple[int, int, bool]) -> None:
    assert asked_part(header, 1000) == part
