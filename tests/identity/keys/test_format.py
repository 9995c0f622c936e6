import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.identity.keys.format import (
    PUBLIC_ID_BYTES,
    SECRET_BYTES,
    PresentedKey,
    imported_secret_sha256,
    is_public_id,
    mint,
    mint_again,
    parse,
)

ID_BYTES = bytes(range(PUBLIC_ID_BYTES))
MINTED = mint(ID_BYTES, bytes(range(SECRET_BYTES)))
TEXT = MINTED.text.get_secret_value()
SECRET = TEXT.rsplit("-", 1)[1]

public_ids = st.binary(min_size=PUBLIC_ID_BYTES, max_size=PUBLIC_ID_BYTES)
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


def test_the_form_of_a_key() -> None:
    assert re.fullmatch(r"sk-zg-[0-9a-z]{12}-[0-9a-z]{40}", TEXT)
    assert MINTED.id == "0123456789ab"
    assert TEXT.startswith(f"sk-zg-{MINTED.id}-")


def test_only_the_hash_of_the_secret_is_given_out_beside_the_key() -> None:
    assert MINTED.secret_sha256 == hashlib.sha256(SECRET.encode()).digest()


def test_a_secret_has_at_least_192_bits() -> None:
    """32 letters, each as likely as the others, are five bits a letter."""
    every_byte = [mint(ID_BYTES, bytes([value]) * SECRET_BYTES).text.get_secret_value()[-1] for value in range(256)]
    assert {every_byte.count(letter) for letter in every_byte} == {8}
    assert len(set(every_byte)) == 32
    assert len(SECRET) * 5 >= 192


def test_letters_that_are_misread_do_not_occur() -> None:
    spelled = {mint(bytes([value]) * PUBLIC_ID_BYTES, bytes(SECRET_BYTES)).id[0] for value in range(256)}
    assert spelled.isdisjoint("ilouILOU-_")


@given(public_ids, secrets)
def test_what_was_minted_is_parsed(public_id_bytes: bytes, secret_bytes: bytes) -> None:
    minted = mint(public_id_bytes, secret_bytes)
    assert parse(minted.text.get_secret_value()) == PresentedKey(minted.id, minted.secret_sha256)
    assert is_public_id(minted.id)


@given(st.text(), st.integers(0, len(TEXT)))
def test_nothing_but_a_key_is_parsed(insertion: str, position: int) -> None:
    text = TEXT[:position] + insertion + TEXT[position:]
    presented = parse(text)
    assert (presented is not None and presented.id is not None) == (insertion == "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-zg-",
        TEXT.upper(),
        TEXT[:-1],
        TEXT + "0",
        TEXT + "\n",
        " " + TEXT,
        TEXT.replace("sk-zg", "pk-zg"),
        TEXT[:-1] + "u",
        TEXT[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
        f"sk-zg-{MINTED.id}",
        f"sk-zg-{MINTED.id}-",
        f"sk-zg--{SECRET}",
        "sk-tooshort-1234567",
        f"sk-{SECRET} ",
        f"sk-{SECRET}\N{CYRILLIC SMALL LETTER A}",
        "x" * 1_000_000,
    ],
)
def test_near_misses_are_no_keys(text: str) -> None:
    assert parse(text) is None


def test_what_another_gateway_made_is_found_by_the_hash_of_its_whole_text_hashed_again() -> None:
    token = "sk-1Zgh0hmwC3PpOYzkhcY9_A"
    presented = parse(token)
    assert presented == PresentedKey(None, imported_secret_sha256(hashlib.sha256(token.encode()).hexdigest()))
    assert parse(hashlib.sha256(token.encode()).hexdigest()) is None  # who has read the file has no key
    assert presented != parse(f"sk-{hashlib.sha256(token.encode()).hexdigest()}")


def test_one_of_our_secrets_without_its_id_is_not_found_as_an_imported_key() -> None:
    for text in (SECRET, f"sk-{SECRET}", f"sk-{TEXT}"):
        presented = parse(text)
        assert presented is None or presented.secret_sha256 != MINTED.secret_sha256


def test_minting_again_keeps_the_id_and_changes_the_secret() -> None:
    again = mint_again(MINTED.id, b"\x07" * SECRET_BYTES)
    assert again.id == MINTED.id
    assert again.secret_sha256 != MINTED.secret_sha256
    assert parse(again.text.get_secret_value()) == PresentedKey(MINTED.id, again.secret_sha256)


@pytest.mark.parametrize(
    ("public_id_bytes", "secret_bytes"),
    [(b"", bytes(SECRET_BYTES)), (ID_BYTES + b"\0", bytes(SECRET_BYTES)), (ID_BYTES, b""), (ID_BYTES, b"\0")],
)
def test_too_little_chance_is_a_bug(public_id_bytes: bytes, secret_bytes: bytes) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        mint(public_id_bytes, secret_bytes)


@pytest.mark.parametrize("key_id", ["", "user_1", MINTED.id[:-1], MINTED.id + "\n", TEXT])
def test_minting_again_needs_an_id(key_id: str) -> None:
    with pytest.raises(ValueError, match="public id"):
        mint_again(key_id, bytes(SECRET_BYTES))


def test_neither_secret_nor_hash_is_shown_by_accident() -> None:
    for shown in (repr(MINTED), str(MINTED), repr(parse(TEXT))):
        assert SECRET not in shown
        assert str(MINTED.secret_sha256) not in shown
        assert MINTED.secret_sha256.hex() not in shown
