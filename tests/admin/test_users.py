"""Users: every new one gets the default limits, whichever use case makes them."""

import pytest

from app.admin.keys import WantedKey, create_key
from app.admin.limits import Target, set_limits
from app.admin.operator import Operator
from app.admin.teams import create_team
from app.admin.users import create_user, disable_user, enable_user, list_users, set_user_team, show_user
from app.database.changes import list_changes
from app.errors import Conflict, InvalidValue, NotFound
from app.quotas.rules.limits import Scope, parse_limit


def test_every_new_user_gets_a_copy_of_the_defaults(operator: Operator) -> None:
    set_limits(operator, Target(Scope.DEFAULT), [parse_limit("images:5/day"), parse_limit("concurrent:2")])
    create_team(operator, "design")
    alice = create_user(
        operator, "alice", team="design", limits=[parse_limit("images:9/day"), parse_limit("usd:1/day")]
    )
    assert alice.user.team_name == "design"
    assert alice.limits == ("images:9/day", "concurrent:2", "usd:1.00/day")
    made = create_key(operator, WantedKey("bob"))
    assert made.owner_is_new
    assert made.owner.limits == ("images:5/day", "concurrent:2")
    assert show_user(operator, "bob").limits == made.owner.limits
    assert not create_key(operator, WantedKey("bob")).owner_is_new
    with operator.reading() as connection:
        assert {change.actor for change in list_changes(connection, 100)} == {"test"}


def test_a_refused_user_leaves_nothing_behind(operator: Operator) -> None:
    with pytest.raises(NotFound, match="no team"):
        create_user(operator, "alice", team="design")
    with pytest.raises(InvalidValue, match="empty"):
        create_user(operator, " ")
    assert list_users(operator) == []
    create_user(operator, "alice")
    with pytest.raises(Conflict, match="already"):
        create_user(operator, "alice")


def test_a_user_is_moved_disabled_and_enabled(operator: Operator) -> None:
    create_team(operator, "design")
    create_user(operator, "alice")
    key = create_key(operator, WantedKey("alice")).key.key.id
    assert set_user_team(operator, "alice", "design").user.team_name == "design"
    assert set_user_team(operator, "alice", None).as_json()["team"] is None
    assert disable_user(operator, "alice").state == "disabled"
    [listed] = list_users(operator)
    assert (listed.state, listed.keys) == ("disabled", (key,))
    assert enable_user(operator, "alice").as_json()["disabled_at"] is None
    with pytest.raises(NotFound):
        disable_user(operator, "bob")
