from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.database.schema import change_tables, identity_tables
from app.errors import Conflict, InvalidValue, NotFound
from app.identity.keys.format import SECRET_BYTES, mint_again
from app.identity.keys.keys import Key, NewKey, create_key, find_key, list_keys, rotate_key, set_key_disabled
from app.identity.people.roles import Role
from app.identity.people.users import create_user
from tests.identity.people_making import NOW, change_at, make_key, minted, recorded

ONE = minted(1)
DAY = timedelta(days=1)


def secrets_of(connection: Connection) -> dict[bytes, int | None]:
    """When each secret ends, by its hash."""
    rows = connection.execute(select(identity_tables.key_secrets))
    return {bytes(row.secret_sha256): row.expires_at_ms for row in rows}


def test_a_key_with_nothing_special(engine: Engine) -> None:
    with writing(engine) as connection:
        key = make_key(connection)
    assert key == Key(ONE.id, "user_1-1", "alice", None, None, created_at=NOW, expires_at=None, disabled_at=None)
    with reading(engine) as connection:
        assert find_key(connection, ONE.id) == key
        assert secrets_of(connection) == {ONE.secret_sha256: None}


def test_a_key_with_everything(engine: Engine) -> None:
    models = ("openai/gpt-image-2", "openai/gpt-image-1.5", "openai/gpt-image-2")
    with writing(engine) as connection:
        key = make_key(connection, name=" laptop ", models=models, expires_at=NOW + DAY, role=Role.LEAD)
        assert find_key(connection, ONE.id) == key
        assert (key.name, key.models) == ("laptop", ("openai/gpt-image-1.5", "openai/gpt-image-2"))
        assert key.expires_at == NOW + DAY
        assert recorded(connection)[1:] == [
            (
                "key.create",
                ONE.id,
                None,
                {
                    "user_id": "user_1-1",
                    "name": "laptop",
                    "models": ["openai/gpt-image-1.5", "openai/gpt-image-2"],
                    "expires_at": "2026-03-02T12:00:00.123000+00:00",
                    "disabled_at": None,
                    "role": "lead",
                    "managed_by": None,
                },
            )
        ]


def test_a_key_that_makes_no_sense_is_not_made(engine: Engine) -> None:
    nonsense: list[tuple[dict[str, Any], str]] = [
        ({"name": "a\nb"}, "name of the key"),
        ({"name": ""}, "name of the key is empty"),
        ({"models": ()}, "without any model"),
        ({"models": ("a\nb",)}, "name of the model"),
        ({"models": tuple(f"m{number}" for number in range(101))}, "100 models at most"),
        ({"expires_at": NOW}, "expired already"),
        ({"expires_at": NOW - DAY}, "expired already"),
    ]
    with writing(engine) as connection:
        user = create_user(connection, "alice", change=change_at())
        for wanted, complaint in nonsense:
            with pytest.raises(InvalidValue, match=complaint):
                create_key(connection, NewKey(user.id, **wanted), ONE, change=change_at())
        assert list_keys(connection) == []
        assert len(recorded(connection)) == 1


def test_a_key_needs_a_user_and_an_id_of_its_own(engine: Engine) -> None:
    with writing(engine) as connection:
        with pytest.raises(NotFound, match="no such user"):
            create_key(connection, NewKey("user_9"), ONE, change=change_at())
        key = make_key(connection)
        with pytest.raises(Conflict, match="try again"):
            create_key(connection, NewKey(key.user_id), minted(1, secret=5), change=change_at())
        assert secrets_of(connection) == {ONE.secret_sha256: None}


def test_keys_are_listed_for_everybody_or_for_one(engine: Engine) -> None:
    with writing(engine) as connection:
        first = make_key(connection, 1, "alice")
        second = make_key(connection, 2, "bob")
        third = make_key(connection, 3, "alice")
        assert list_keys(connection) == [first, second, third]
        assert list_keys(connection, first.user_id) == [first, third]
        assert list_keys(connection, "user_9") == []


def test_what_is_not_there_is_not_found(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        for key_id in ("", minted(2).id, ONE.text.get_secret_value(), "a\0b", "a\udcffb"):
            assert find_key(connection, key_id) is None
            with pytest.raises(NotFound, match="There is no key"):
                set_key_disabled(connection, key_id, disabled=True, change=change_at())


def test_a_whole_key_typed_for_an_id_is_not_repeated(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        with pytest.raises(NotFound) as refusal:
            set_key_disabled(connection, ONE.text.get_secret_value(), disabled=True, change=change_at())
    assert refusal.value.message == "There is no key with this id."


def test_disabling_and_enabling_are_recorded_once_each(engine: Engine) -> None:
    with writing(engine) as connection:
        key = make_key(connection)
        disabled = set_key_disabled(connection, ONE.id, disabled=True, change=change_at(NOW + DAY))
        assert disabled.disabled_at == NOW + DAY
        assert set_key_disabled(connection, ONE.id, disabled=True, change=change_at()) == disabled
        assert set_key_disabled(connection, ONE.id, disabled=False, change=change_at()) == key
        assert set_key_disabled(connection, ONE.id, disabled=False, change=change_at()) == key
        assert recorded(connection)[2:] == [
            ("key.change", ONE.id, {"disabled_at": None}, {"disabled_at": (NOW + DAY).isoformat()}),
            ("key.change", ONE.id, {"disabled_at": (NOW + DAY).isoformat()}, {"disabled_at": None}),
        ]


@pytest.mark.parametrize("overlap", [timedelta(), DAY, timedelta(days=366)])
def test_rotating_keeps_the_key_and_ends_its_old_secret(engine: Engine, overlap: timedelta) -> None:
    second = minted(1, secret=2)
    with writing(engine) as connection:
        key = make_key(connection)
        make_key(connection, 2)
        assert rotate_key(connection, ONE.id, second, overlap, change=change_at()) == key
        assert secrets_of(connection) == {
            ONE.secret_sha256: to_ms(NOW + overlap),
            second.secret_sha256: None,
            minted(2).secret_sha256: None,
        }
        assert recorded(connection)[-1] == (
            "key.rotate",
            ONE.id,
            None,
            {"old_secrets_end_at": (NOW + overlap).isoformat()},
        )


def test_rotating_again_gives_no_old_secret_more_time(engine: Engine) -> None:
    def rotate(secret: int, at: datetime, overlap: timedelta) -> None:
        rotate_key(connection, ONE.id, minted(1, secret), overlap, change=change_at(at))

    with writing(engine) as connection:
        make_key(connection)
        rotate(2, NOW, DAY)
        rotate(3, NOW + DAY / 2, 2 * DAY)
        ends = secrets_of(connection)
        assert ends[ONE.secret_sha256] == to_ms(NOW + DAY)
        assert ends[minted(1, 2).secret_sha256] == to_ms(NOW + 2.5 * DAY)
        rotate(4, NOW + DAY / 2, timedelta())
        ends = secrets_of(connection)
        assert ends[ONE.secret_sha256] == ends[minted(1, 2).secret_sha256] == to_ms(NOW + DAY / 2)
        assert ends[minted(1, 4).secret_sha256] is None


def test_an_overlap_that_makes_no_sense_changes_nothing(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        for overlap in (-DAY, timedelta(milliseconds=-1), timedelta(days=367), timedelta.max):
            with pytest.raises(InvalidValue, match="between 0 and 366 days"):
                rotate_key(connection, ONE.id, minted(1, secret=2), overlap, change=change_at())
        assert secrets_of(connection) == {ONE.secret_sha256: None}


def test_rotating_needs_the_key_and_a_secret_minted_for_it(engine: Engine) -> None:
    with writing(engine) as connection:
        make_key(connection)
        with pytest.raises(NotFound, match=f"There is no key {minted(2).id}"):
            rotate_key(connection, minted(2).id, minted(2), DAY, change=change_at())
        with pytest.raises(ValueError, match="another key"):
            rotate_key(connection, ONE.id, minted(2), DAY, change=change_at())


def test_no_record_of_a_change_holds_a_secret_or_its_hash(engine: Engine) -> None:
    new = mint_again(ONE.id, b"\x1f" * SECRET_BYTES)
    with writing(engine) as connection:
        make_key(connection, name="laptop", models=("m",), expires_at=NOW + DAY)
        rotate_key(connection, ONE.id, new, DAY, change=change_at())
        set_key_disabled(connection, ONE.id, disabled=True, change=change_at())
        written = str(connection.execute(select(change_tables.admin_events)).all())
    for key in (ONE, new):
        assert key.id in written
        assert key.text.get_secret_value().rsplit("-", 1)[1] not in written
        assert key.secret_sha256.hex() not in written
        assert repr(key.secret_sha256)[2:-1] not in written
