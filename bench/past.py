"""A long past with the people whose it is: that of bench.growth, a thousand users in twenty teams, and their keys; and
what is listed beside its records: refusals, files and jobs.
"""

from collections.abc import Iterable

from sqlalchemy import Engine, text

from app.database.clock import to_ms
from app.database.engine import create_engine, writing
from app.database.migrate import upgrade
from bench.growth import NOW, Load, fill

USERS = 1000  # of bench.growth

LISTED = 100_000  # refusals, files and jobs, of each so many
_NEVER_MS = 4_102_444_800_000  # 2100: no sweep takes them
_HOUR_MS = 3_600_000

ROWS = """
INSERT INTO {table} ({columns})
WITH RECURSIVE numbers (n) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})
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
    _insert(engine, rows)


def list_more(url: str, load: Load, count: int = LISTED) -> None:
    """Refusals of the last thirty days, and files and jobs of the last day, those of the newest requests."""
    engine = create_engine(url)
    count, now_ms = min(count, load.records), to_ms(NOW)
    number = f"({load.records} - 1 - n)"  # of the request, as bench.growth counts them
    request = f"'req_' || ({number} * 2654435761 % 4294967296) || '_' || {number}"
    whose = f"'key-' || ({number} * 7919 % {load.keys}), 'user-' || ({number} * 7919 % {load.keys} % {USERS})"
    at = f"{now_ms} - n * 86400000 / {count}"
    _insert(
        engine,
        (
            (
                "refusal_hours",
                "hour_start_ms, user_id, key_id, code, count",
                count,
                f"{now_ms} - n % 720 * {_HOUR_MS}, 'user-' || (n / 720 % {USERS}), 'key-' || (n / 720), "
                "'insufficient_quota', 1 + n % 9",
            ),
            (
                "files",
                "id, key_id, user_id, kind, request_id, bytes, content_type, created_at_ms, expires_at_ms",
                count,
                f"(n * 2654435761 % 4294967296) || '-' || n, {whose}, 'image', {request}, 2000000, 'image/png', {at}, "
                f"{_NEVER_MS}",
            ),
            (
                "jobs",
                "id, key_id, user_id, request_id, operation, model, state, created_at_ms, ended_at_ms, expires_at_ms",
                count,
                f"'job_' || (n * 2654435761 % 4294967296) || '_' || n, {whose}, {request}, 'generation', "
                f"'openai/gpt-image-2', 'completed', {at}, {now_ms}, {_NEVER_MS}",
            ),
        ),
    )
    engine.dispose()


def _insert(engine: Engine, rows: Iterable[tuple[str, str, int, str]]) -> None:
    """Each: a table, its columns, how many rows, and what they are, by their number n."""
    with writing(engine) as connection:
        for table, columns, count, values in rows:
            connection.execute(text(ROWS.format(table=table, columns=columns, count=count, values=values)))
