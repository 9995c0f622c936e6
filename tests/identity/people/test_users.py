from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.database.engine import reading, writing
from app.errors import Conflict, NotFound
from app.identity.people.teams import create_team
from app.identity.people.users import User, create_user, find_user, list_users, set_user_disabled, set_user_team
from tests.identity.people_making import NOW, change_at, recorded

LATER = NOW + timedelta(hours=1)
NEW = {"disabled_at": None, "managed_by": None}


def test_a_user_without_a_team(engine: Engine) -> None:
    with writing(engine) as connection:
        user = create_user(connection, " alice", change=change_at())
    assert user == User("user_1", "alice", team_id=None, team_name=None, created_at=NOW, disabled_at=None)
    with reading(engine) as connection:
        assert find_user(connection, "alice") == find_user(connection, "user_1") == user
        assert recorded(connection) == [
            ("user.create", "user_1", None, {"name": "alice", "team_id": None, "role": "member"} | NEW)
        ]


def test_a_user_in_a_team(engine: Engine) -> None:
    change = change_at()
    with writing(engine) as connection:
        user = create_user(connection, "alice", team=create_team(connection, "Design", change=change), change=change)
        assert (user.team_id, user.team_name) == ("team_1", "Design")
        assert find_user(connection, "alice") == user


def test_an_id_is_found_before_a_name(engine: Engine) -> None:
    """A name that looks like the next user's id: commands about the id must not reach the wrong person."""
    change = change_at()
    with writing(engine) as connection:
        create_user(connection, "user_2", change=change)
        bob = create_user(connection, "bob", change=change)
        assert bob.id == "user_2"
        assert find_user(connection, "user_2") == bob


def test_a_name_is_given_once(engine: Engine) -> None:
    with writing(engine) as connection:
        create_user(connection, "alice", change=change_at())
        for name in ("alice", "user_1"):
            with pytest.raises(Conflict, match=f"There is a user {name} already"):
                create_user(connection, name, change=change_at(prefix="x"))


def test_who_is_not_there_is_not_found(engine: Engine) -> None:
    with writing(engine) as connection:
        create_user(connection, "alice", change=change_at())
        for name in ("Alice", "", "a\0b", "a\udcffb"):
            assert find_user(connection, name) is None


def test_users_are_listed_by_name_alike_on_both_engines(engine: Engine) -> None:
    change = change_at()
    with writing(engine) as connection:
        for name in ("bob", "Carol", "alice", "Bob"):
            create_user(connection, name, change=change)
        assert [user.name for user in list_users(connection)] == ["alice", "Bob", "bob", "Carol"]


def test_moving_between_teams_is_recorded_once(engine: Engine) -> None:
    change = change_at()
    with writing(engine) as connection:
        team = create_team(connection, "Design", change=change)
        user = create_user(connection, "alice", change=change)
        moved = set_user_team(connection, user, team, change=change)
        assert (moved.team_id, moved.team_name) == (team.id, "Design")
        assert set_user_team(connection, user, team, change=change) == moved == find_user(connection, "alice")
        assert set_user_team(connection, moved, None, change=change).team_id is None
        assert recorded(connection)[2:] == [
            ("user.change", user.id, {"team_id": None}, {"team_id": team.id}),
            ("user.change", user.id, {"team_id": team.id}, {"team_id": None}),
        ]


def test_disabling_and_enabling_are_recorded_once_each(engine: Engine) -> None:
    with writing(engine) as connection:
        user = create_user(connection, "alice", change=change_at())
        disabled = set_user_disabled(connection, user, disabled=True, change=change_at(LATER))
        assert disabled.disabled_at == LATER
        assert set_user_disabled(connection, user, disabled=True, change=change_at()) == disabled
        assert set_user_disabled(connection, user, disabled=False, change=change_at()) == user
        assert set_user_disabled(connection, disabled, disabled=False, change=change_at()) == user
        assert recorded(connection)[1:] == [
            ("user.change", "user_1", {"disabled_at": None}, {"disabled_at": LATER.isoformat()}),
            ("user.change", "user_1", {"disabled_at": LATER.isoformat()}, {"disabled_at": None}),
        ]


def test_a_user_who_is_no_more_cannot_be_changed(engine: Engine) -> None:
    ghost = User("user_9", "ghost", None, None, NOW, None)
    with writing(engine) as connection:
        with pytest.raises(NotFound, match="no user ghost"):
            set_user_team(connection, ghost, None, change=change_at())
        with pytest.raises(NotFound, match="no user ghost"):
            set_user_disabled(connection, ghost, disabled=True, change=change_at())
