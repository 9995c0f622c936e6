from sqlalchemy import Engine

from app.database.engine import writing
from app.identity.keys.keys import NewKey, create_key
from app.identity.people.teams import create_team
from app.identity.people.users import create_user
from tests.identity.people_making import NOW, change_at, minted, recorded


def test_several_changes_are_one_transaction_and_a_line_each(engine: Engine) -> None:
    """What `keys create --user alice --team Design` does when neither is there."""
    change = change_at()
    with writing(engine) as connection:
        team = create_team(connection, "Design", change=change)
        user = create_user(connection, "alice", team=team, change=change)
        key = create_key(connection, NewKey(user.id, "laptop"), minted(1), change=change)
        assert [action for action, *_ in recorded(connection)] == ["team.create", "user.create", "key.create"]
    assert (team.created_at, user.created_at, key.created_at) == (NOW, NOW, NOW)
