"""Users, teams and keys are found by whatever people have of them."""

import pytest

from app.admin.keys import WantedKey, create_key
from app.admin.lookup.owners import existing_key, existing_team, existing_user, with_owner_ids
from app.admin.operator import Operator
from app.admin.teams import create_team
from app.admin.users import create_user
from app.errors import NotFound


def test_a_name_that_is_nearly_right_is_suggested(operator: Operator) -> None:
    create_user(operator, "alice")
    create_team(operator, "design")
    with operator.reading() as connection:
        with pytest.raises(NotFound, match=r"no user 'alcie'\. Did you mean alice\?"):
            existing_user(connection, "alcie")
        with pytest.raises(NotFound, match=r"no user 'zoe'\. `users list`"):
            existing_user(connection, "zoe")
        with pytest.raises(NotFound, match=r"no team 'desing'\. Did you mean design\?"):
            existing_team(connection, "desing")


def test_a_key_is_found_by_whatever_part_of_it_people_have(operator: Operator) -> None:
    made = create_key(operator, WantedKey("alice"))
    id_ = made.key.key.id
    with operator.reading() as connection:
        for written in (id_, made.text.get_secret_value(), f"sk-zg-{id_}-…", f" {id_}\n"):
            assert existing_key(connection, written).id == id_


def test_a_key_that_is_not_there_is_told_without_its_secret(operator: Operator) -> None:
    text = f"sk-zg-{'1' * 12}-{'2' * 40}"
    with operator.reading() as connection:
        with pytest.raises(NotFound, match=f"no key {'1' * 12}; `keys list`") as raised:
            existing_key(connection, text)
        assert text not in raised.value.message
        with pytest.raises(NotFound, match="no key with this id"):
            existing_key(connection, "hunter2")


def test_owners_by_name_or_id_become_ids(operator: Operator) -> None:
    team = create_team(operator, "design").team
    user = create_user(operator, "alice").user
    with operator.reading() as connection:
        asked = [("user_id", "alice"), ("user_id", user.id), ("team_id", "design"), ("team_id", "gone"), ("model", "m")]
        assert [value for _, value in with_owner_ids(connection, asked)] == [user.id, user.id, team.id, "gone", "m"]
