"""Tokens of sessions and links."""

import pytest

from app.identity.sessions.tokens import TOKEN_BYTES, new_token, token_sha256


def test_a_token_is_found_by_its_hash() -> None:
    first, second = (new_token(bytes([number]) * TOKEN_BYTES) for number in (1, 2))
    assert token_sha256(first.text.get_secret_value()) == first.sha256 != second.sha256
    assert len(first.text.get_secret_value()) == 43
    assert first.text.get_secret_value() not in repr(first)


def test_it_needs_all_its_chance() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_token(b"short")


@pytest.mark.parametrize("text", ["", "A" * 42, "A" * 44, "A" * 42 + "=", "é" * 43, "A" * 43 + "\n"])
def test_what_cannot_be_a_token_has_no_hash(text: str) -> None:
    assert token_sha256(text) is None
