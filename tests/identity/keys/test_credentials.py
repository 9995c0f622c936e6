from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine

from app.database.engine import reading, writing
from app.identity.keys.credentials import Caller, Credential, read_credential
from app.identity.keys.format import MintedKey, PresentedKey
from app.identity.keys.keys import rotate_key, set_key_disabled
from app.identity.people.teams import create_team
from app.identity.people.users import find_user, set_user_disabled, set_user_team
from tests.identity.people_making import NOW, change_at, make_key, minted

CALLER = Caller("0123456789ab", None, "user_1", "alice", None, None, models=None)
SOON, PAST = NOW + timedelta(milliseconds=1), NOW - timedelta(milliseconds=1)


def presented(key: MintedKey) -> PresentedKey:
    return PresentedKey(key.id, key.secret_sha256)


def credential(connection: Connection, key: MintedKey) -> Credential:
    found = read_credential(connection, presented(key))
    assert found is not None
    return found


def test_a_key_tells_who_has_it(engine: Engine) -> None:
    change = change_at()
    with writing(engine) as connection:
        make_key(connection, name="laptop", models=("openai/gpt-image-2",), expires_at=SOON)
        user = find_user(connection, "alice")
        assert user is not None
        set_user_team(connection, user, create_team(connection, "Design", change=change), change=change)
    with reading(engine) as connection:
        assert credential(connection, minted(1)) == Credential(
            caller=Caller(
                key_id=minted(1).id,
                key_name="laptop",
                user_id=user.id,
                user_name="alice",
                team_id="team_1",
                team_name="Design",
                models=frozenset({"openai/gpt-image-2"}),
            ),
            key_disabled=False,
            user_disabled=False,
            key_expires_at=SOON,
            secret_expires_at=None,
        )


def test_a_key_of_nobody_special(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        found = credential(connection, minted(1))
    assert (found.caller.team_id, found.caller.key_name, found.caller.models) == (None, None, None)


def test_the_secret_of_another_key_is_unknown(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection, 1)
        make_key(connection, 2)
        assert read_credential(connection, PresentedKey(minted(1).id, minted(2).secret_sha256)) is None
        assert read_credential(connection, PresentedKey(minted(1).id, minted(1, secret=9).secret_sha256)) is None
        assert read_credential(connection, presented(minted(3))) is None


def test_what_ends_a_key_is_read_with_it(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        user = find_user(connection, "alice")
        assert user is not None
        set_user_disabled(connection, user, disabled=True, change=change_at())
        assert credential(connection, minted(1)).user_disabled
        set_key_disabled(connection, minted(1).id, disabled=True, change=change_at())
        assert credential(connection, minted(1)).key_disabled
        rotate_key(connection, minted(1).id, minted(1, secret=2), timedelta(hours=1), change=change_at())
        assert credential(connection, minted(1)).secret_expires_at == NOW + timedelta(hours=1)
        assert credential(connection, minted(1, secret=2)).secret_expires_at is None


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (Credential(CALLER, False, False, None, None), None),
        (Credential(CALLER, False, False, SOON, SOON), None),
        (Credential(CALLER, True, False, None, None), "The API key sk-zg-0123456789ab-… is disabled."),
        (Credential(CALLER, False, True, None, None), "The user of the API key sk-zg-0123456789ab-… is disabled."),
        (
            Credential(CALLER, False, False, NOW, None),
            "The API key sk-zg-0123456789ab-… expired at 2026-03-01 12:00:00 UTC.",
        ),
        (
            Credential(CALLER, False, False, None, NOW),
            "The API key sk-zg-0123456789ab-… was replaced by a newer one; use that.",
        ),
        (
            Credential(CALLER, False, False, SOON, PAST),
            "The API key sk-zg-0123456789ab-… was replaced by a newer one; use that.",
        ),
    ],
)
def test_why_a_credential_does_not_pass(found: Credential, refusal: str | None) -> None:
    assert found.refusal(NOW) == refusal


def test_a_caller_may_use_the_models_named_or_all() -> None:
    assert CALLER.may_use("openai/gpt-image-2")
    few = Caller("k", None, "u", "u", None, None, models=frozenset({"openai/gpt-image-2"}))
    assert few.may_use("openai/gpt-image-2")
    assert not few.may_use("openai/gpt-image-1.5")
    assert not few.may_use("gpt-image-2")
