"""One-time links in the database, on both engines."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.database.engine import reading, writing
from app.identity.people.users import create_user, set_user_disabled
from app.identity.sessions.links import LoginLink, find_link, make_link, use_link
from tests.identity.people_making import NOW, change_at, recorded

HASH = bytes(32)


@pytest.fixture
def link(engine: Engine) -> LoginLink:
    with writing(engine) as connection:
        user = create_user(connection, "vera", change=change_at())
        link = LoginLink(user.id, "vera", "admin", is_direct=False)
        make_link(connection, link, HASH, change=change_at())
    return link


def test_it_is_found_and_used_once(engine: Engine, link: LoginLink) -> None:
    with writing(engine) as connection:
        assert find_link(connection, HASH, NOW) == find_link(connection, HASH, NOW) == link
        assert find_link(connection, bytes([1]) * 32, NOW) is None
        assert use_link(connection, HASH, NOW) == link
        assert use_link(connection, HASH, NOW) is None
        assert recorded(connection)[-1][0] == "login_link.create"


def test_it_works_for_ten_minutes(engine: Engine, link: LoginLink) -> None:
    with writing(engine) as connection:
        assert find_link(connection, HASH, NOW + timedelta(minutes=9, seconds=59)) == link
        assert use_link(connection, HASH, NOW + timedelta(minutes=10)) is None
        assert use_link(connection, HASH, NOW) is None  # it is gone


def test_not_for_a_disabled_user(engine: Engine, link: LoginLink) -> None:
    with writing(engine) as connection:
        user = create_user(connection, "otto", change=change_at(prefix="o"))
        make_link(connection, LoginLink(user.id, "otto", None, is_direct=True), b"o" * 32, change=change_at())
        set_user_disabled(connection, user, disabled=True, change=change_at())
    with reading(engine) as connection:
        assert find_link(connection, b"o" * 32, NOW) is None
        assert find_link(connection, HASH, NOW) == link


def test_links_that_are_over_are_dropped_and_no_role_is_invented(engine: Engine, link: LoginLink) -> None:
    later = change_at(NOW + timedelta(hours=1))
    with writing(engine) as connection:
        make_link(connection, link, b"2" * 32, change=later)
        assert find_link(connection, HASH, NOW) is None
        with pytest.raises(ValueError, match="no role"):
            make_link(connection, LoginLink(link.user_id, "vera", "root", is_direct=False), b"3" * 32, change=later)
