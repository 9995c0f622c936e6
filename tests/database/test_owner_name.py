"""Whose a limit or an event is, in the words of people."""

import pytest
from sqlalchemy import Engine, text

from app.database.engine import writing
from app.database.owner_name import owner_name_sql


@pytest.mark.parametrize(
    ("scope", "scope_id", "name"),
    [
        ("user", "u1", "zoë"),
        ("team", "t1", "design"),
        ("key", "k1", "k1"),
        ("gateway", "", "gateway"),
        ("user", "?", "?"),
    ],
)
def test_the_name_that_people_know(engine: Engine, scope: str, scope_id: str, name: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO teams (id, name, created_at_ms) VALUES ('t1', 'design', 0)"))
        connection.execute(text("INSERT INTO users (id, name, created_at_ms) VALUES ('u1', 'zoë', 0)"))
        row = f"(SELECT '{scope}' AS scope, '{scope_id}' AS scope_id) AS things"
        assert connection.execute(text(f"SELECT {owner_name_sql('things')} FROM {row}")).scalar_one() == name
