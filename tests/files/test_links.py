"""Links: nobody can make one, change one, or use one after its end; a rotation ends none before its time."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database.gateway_secrets import Secret
from app.files.links import LEEWAY, base_url, extension_of, is_signed, link_to, needed
from tests.quotas.making import NOON

HOUR = 3600.0
FILE = "0123456789abcdef" * 2
OLD, NEW = Secret(1, b"old" * 10, NOON), Secret(2, b"new" * 10, NOON + timedelta(days=1))


def parts(link: str) -> tuple[str, int, str]:
    url = urlsplit(link)
    query = parse_qs(url.query, strict_parsing=True)
    return url.path, int(query["exp"][0]), query["sig"][0]


def test_a_link_says_what_it_leads_to() -> None:
    link = link_to("https://images.example.com/gw", FILE, "image/png", NOON, b"secret")
    path, expires, signature = parts(link)
    assert link.startswith("https://images.example.com/gw/files/")
    assert path == f"/gw/files/{FILE}.png"
    assert expires == int(NOON.timestamp())
    assert is_signed(FILE, expires, signature, [Secret(1, b"secret", NOON)], HOUR)


@given(
    file_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    expires=st.integers(0, 10**12),
    signature=st.text(max_size=60),
    secret=st.binary(min_size=1, max_size=40),
)
def test_whatever_is_changed_is_not_signed(file_id: str, expires: int, signature: str, secret: bytes) -> None:
    _, end, good = parts(link_to("", FILE, "image/png", NOON, OLD.value))
    changed = (file_id, expires, signature, secret) != (FILE, end, good, OLD.value)
    assert is_signed(FILE, end, good, [OLD], HOUR)
    for one in ((file_id, end, good), (FILE, expires, good), (FILE, end, signature)):
        assert is_signed(*one, [OLD], HOUR) == (one == (FILE, end, good))
    assert is_signed(FILE, end, good, [Secret(1, secret, NOON)], HOUR) == (secret == OLD.value)
    assert is_signed(file_id, expires, signature, [Secret(1, secret, NOON)], HOUR) == (not changed)


def test_a_replaced_secret_counts_for_what_it_can_have_signed() -> None:
    """A link of its last minute works to its end; one with a later end was made by somebody who has the old secret."""
    last = NEW.created_at + timedelta(seconds=HOUR) + LEEWAY
    for end, works in ((last, True), (last + timedelta(seconds=1), False)):
        _, expires, signature = parts(link_to("", FILE, "image/png", end, OLD.value))
        assert is_signed(FILE, expires, signature, [NEW, OLD], HOUR) == works
        _, expires, signature = parts(link_to("", FILE, "image/png", end, NEW.value))
        assert is_signed(FILE, expires, signature, [NEW, OLD], HOUR)


def test_old_secrets_are_needed_until_their_links_have_ended() -> None:
    newest = Secret(3, b"newest", NEW.created_at + timedelta(minutes=5))
    secrets = [newest, NEW, OLD]
    assert needed([], NOON, HOUR) == []
    assert needed(secrets, newest.created_at, HOUR) == secrets
    end = NEW.created_at + timedelta(seconds=HOUR) + LEEWAY
    assert needed(secrets, end, HOUR) == secrets
    assert needed(secrets, end + timedelta(seconds=1), HOUR) == [newest, NEW]
    assert needed(secrets, end + timedelta(days=1), HOUR) == [newest]


@pytest.mark.parametrize(
    ("public", "host", "base"),
    [
        ("https://images.example.com/gw", "0.0.0.0", "https://images.example.com/gw"),
        (None, "127.0.0.1", "http://127.0.0.1:8080"),
        (None, "gateway.internal", "http://gateway.internal:8080"),
        (None, "fd00::1", "http://[fd00::1]:8080"),
        (None, "0.0.0.0", None),
        (None, "::", None),
    ],
)
def test_what_links_begin_with(public: str | None, host: str, base: str | None) -> None:
    assert base_url(public, host, 8080) == base


def test_the_extension_follows_the_type() -> None:
    assert [extension_of(kind) for kind in ("image/png", "image/jpeg", "text/html")] == ["png", "jpg", "bin"]
