"""Sessions in the database, on both engines."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select

from app.database.engine import reading, writing
from app.database.schema import session_tables
from app.identity.people.users import User, create_user, set_user_disabled
from app.identity.sessions.sessions import (
    NewSession,
    SessionBounds,
    end_session,
    find_session,
    list_sessions,
    open_session,
    touch_session,
)
from tests.identity.people_making import NOW, change_at, recorded

BOUNDS = SessionBounds(timedelta(hours=8), timedelta(days=7))
HASH = bytes(32)


@pytest.fixture
def vera(engine: Engine) -> User:
    with writing(engine) as connection:
        user = create_user(connection, "vera", change=change_at())
        open_session(connection, NewSession(user.id, None, "link", "Agent\x00/1"), HASH, BOUNDS, change=change_at())
    return user


def test_it_says_who_is_signed_in(engine: Engine, vera: User) -> None:
    with reading(engine) as connection:
        found = find_session(connection, HASH, BOUNDS, NOW)
        assert found is not None
        assert (found.user_id, found.user_name, found.role, found.method) == (vera.id, "vera", "member", "link")
        assert (found.user_agent, found.created_at, found.ends_at) == ("Agent /1", NOW, NOW + timedelta(days=7))
        assert find_session(connection, bytes([1]) * 32, BOUNDS, NOW) is None
        assert recorded(connection)[-1] == ("session.open", vera.id, None, {"method": "link"})


def test_it_ends_unused_or_at_its_end(engine: Engine, vera: User) -> None:
    with writing(engine) as connection:
        for hours in range(8, 168, 7):
            at = NOW + timedelta(hours=hours - 1)
            found = find_session(connection, HASH, BOUNDS, at)
            assert found is not None, hours
            touch_session(connection, found, at)
        assert find_session(connection, HASH, BOUNDS, NOW + timedelta(days=7)) is None
        assert list_sessions(connection, vera.id, BOUNDS, NOW + timedelta(days=7)) == []
        assert find_session(connection, HASH, BOUNDS, NOW + timedelta(hours=167)) is not None


def test_it_is_over_with_its_user(engine: Engine, vera: User) -> None:
    with writing(engine) as connection:
        set_user_disabled(connection, vera, disabled=True, change=change_at())
        assert find_session(connection, HASH, BOUNDS, NOW) is None


def test_only_its_owner_ends_it(engine: Engine, vera: User) -> None:
    with writing(engine) as connection:
        (found,) = list_sessions(connection, vera.id, BOUNDS, NOW)
        for stranger in ("user_of_nobody", None):
            assert not end_session(connection, found.id, stranger, change=change_at())
        assert end_session(connection, found.id, vera.id, change=change_at())
        assert not end_session(connection, found.id, vera.id, change=change_at())
        assert find_session(connection, HASH, BOUNDS, NOW) is None


def test_the_admin_keys_sessions_are_its_own(engine: Engine, vera: User) -> None:
    with writing(engine) as connection:
        new = NewSession(None, "admin", "admin-key", "x" * 500)
        opened = open_session(connection, new, b"1" * 32, BOUNDS, change=change_at(prefix="a"))
        (found,) = list_sessions(connection, None, BOUNDS, NOW)
        assert (found.id, found.user_id, found.role, len(found.user_agent)) == (opened, None, "admin", 120)
        assert len(list_sessions(connection, vera.id, BOUNDS, NOW)) == 1


def test_a_user_has_a_bounded_number_and_those_that_are_over_go(engine: Engine, vera: User) -> None:
    with writing(engine) as connection:
        for number in range(1, 60):
            at = NOW + timedelta(seconds=number)
            new = NewSession(vera.id, None, "link", "")
            change = change_at(at, f"n{number}-")
            open_session(connection, new, number.to_bytes(32), BOUNDS, change=change)
        assert len(list_sessions(connection, vera.id, BOUNDS, NOW + timedelta(seconds=60))) == 50
        assert find_session(connection, HASH, BOUNDS, NOW) is None  # the oldest
        later = change_at(NOW + timedelta(days=8), "later")
        open_session(connection, NewSession(None, "admin", "admin-key", ""), b"2" * 32, BOUNDS, change=later)
        assert connection.execute(select(func.count()).select_from(session_tables.sessions)).scalar_one() == 1
