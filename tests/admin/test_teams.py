"""Teams: users are put in and taken out, all of those named or none."""

import pytest

from app.admin.operator import Operator
from app.admin.teams import add_to_team, create_team, list_teams, remove_from_team
from app.admin.users import create_user
from app.errors import Conflict, NotFound


def test_users_are_put_into_a_team_and_taken_out_all_or_none(operator: Operator) -> None:
    assert create_team(operator, "design").as_json()["users"] == []
    for name in ("alice", "bob"):
        create_user(operator, name)
    with pytest.raises(NotFound):
        add_to_team(operator, "design", ["alice", "carol"])
    assert list_teams(operator)[0].users == ()
    assert add_to_team(operator, "design", ["bob", "alice"]).users == ("alice", "bob")
    assert remove_from_team(operator, "design", ["alice"]).users == ("bob",)
    with pytest.raises(Conflict, match="alice is not in the team design"):
        remove_from_team(operator, "design", ["bob", "alice"])
    assert list_teams(operator)[0].users == ("bob",)
