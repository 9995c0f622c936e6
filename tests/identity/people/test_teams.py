import pytest
from sqlalchemy import Engine

from app.database.engine import reading, writing
from app.errors import Conflict, InvalidValue
from app.identity.people.teams import Team, create_team, find_team, list_teams
from tests.identity.people_making import NOW, change_at, recorded


def test_a_team_is_made_recorded_and_found_by_name_and_id(engine: Engine) -> None:
    with writing(engine) as connection:
        team = create_team(connection, "  Design ", change=change_at())
    assert team == Team(id="team_1", name="Design", created_at=NOW)
    with reading(engine) as connection:
        for name_or_id in ("Design", " Design ", "team_1"):
            assert find_team(connection, name_or_id) == team
        assert recorded(connection) == [("team.create", "team_1", None, {"name": "Design", "managed_by": None})]


def test_no_other_name_finds_it(engine: Engine) -> None:
    with writing(engine) as connection:
        create_team(connection, "Design", change=change_at())
        for name in ("design", "team_2", "", "a\0b", "a\udcffb", "%", "Design' OR '1'='1"):
            assert find_team(connection, name) is None


def test_a_name_is_given_once_and_no_name_hides_an_id(engine: Engine) -> None:
    with writing(engine) as connection:
        create_team(connection, "Design", change=change_at())
        for name in ("Design", " Design", "team_1"):
            with pytest.raises(Conflict, match=f"There is a team {name.strip()} already"):
                create_team(connection, name, change=change_at(prefix="x"))
        assert len(recorded(connection)) == 1


def test_a_name_that_is_none_makes_no_team(engine: Engine) -> None:
    with pytest.raises(InvalidValue, match="name of the team"), writing(engine) as connection:
        create_team(connection, "a\nb", change=change_at())
    with reading(engine) as connection:
        assert list_teams(connection) == []
        assert recorded(connection) == []


def test_teams_are_listed_by_name_alike_on_both_engines(engine: Engine) -> None:
    change = change_at()
    with writing(engine) as connection:
        for name in ("beta", "Gamma", "Alpha", "_x"):
            create_team(connection, name, change=change)
        assert [team.name for team in list_teams(connection)] == ["_x", "Alpha", "beta", "Gamma"]
