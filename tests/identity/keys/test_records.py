from sqlalchemy import Engine

from app.database.engine import writing
from app.identity.keys import keys, records
from app.identity.people import teams, users
from tests.identity.people_making import NOW, change_at, minted, recorded


def test_one_name_gives_all_of_them() -> None:
    for name in records.__all__:
        assert any(getattr(module, name, None) is getattr(records, name) for module in (keys, teams, users)), name


def test_several_changes_are_one_transaction_and_a_line_each(engine: Engine) -> None:
    """What `keys create --user alice --team Design` does when neither is there."""
    change = change_at()
    with writing(engine) as connection:
        team = records.create_team(connection, "Design", change=change)
        user = records.create_user(connection, "alice", team=team, change=change)
        key = records.create_key(connection, records.NewKey(user.id, "laptop"), minted(1), change=change)
        assert [action for action, *_ in recorded(connection)] == ["team.create", "user.create", "key.create"]
    assert (team.created_at, user.created_at, key.created_at) == (NOW, NOW, NOW)
