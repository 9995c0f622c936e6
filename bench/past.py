"""A long past with the people whose it is: that of bench.growth, a thousand users in twenty teams, and their keys."""

from sqlalchemy import Engine, text

from app.database.engine import create_engine, writing
from app.database.migrate import upgrade
from bench.growth import Load, fill

USERS = 1000  # of bench.growth

PEOPLE = """
INSERT INTO {table} ({columns})
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})
SELECT {values} FROM numbers
"""


def make_past(url: str, load: Load) -> None:
    """The past, and the people whose it is."""
    engine = create_engine(url)
    upgrade(engine)
    fill(engine, load)
    name_people(engine, load)
    engine.dispose()


def name_people(engine: Engine, load: Load) -> None:
    rows = (
        ("teams", "id, name, created_at_ms", 20, "'team-' || n, 'Team ' || n, 0"),
        ("users", "id, name, team_id, created_at_ms", USERS, "'user-' || n, 'User ' || n, 'team-' || (n % 20), 0"),
        ("keys", "id, user_id, created_at_ms", load.keys, f"'key-' || n, 'user-' || (n % {USERS}), 0"),
    )
    with writing(engine) as connection:
        for table, columns, count, values in rows:
            connection.execute(text(PEOPLE.format(table=table, columns=columns, count=count, values=values)))
