"""Values of settings beyond numbers and words: what is read, and what is refused."""

import pytest
from pydantic import ValidationError

from app.settings.settings import load_settings


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://Studio.example.com/", ("https://studio.example.com",)),
        ("http://localhost:3000, http://[::1]:3000", ("http://localhost:3000", "http://[::1]:3000")),
    ],
)
def test_origins_are_read_as_browsers_write_them(written: str, read: tuple[str, ...]) -> None:
    assert load_settings(cors_origins=written).cors_origins == read


@pytest.mark.parametrize("written", ["studio.example.com", "https://a.example/path", "*,https://a.example", "ftp://a"])
def test_what_is_no_origin_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="write origins such as"):
        load_settings(cors_origins=written)
