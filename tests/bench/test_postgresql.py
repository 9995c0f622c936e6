from pathlib import Path

import psycopg

from bench.postgresql import empty_database


def test_it_keeps_what_is_committed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with empty_database(tmp_path) as url, psycopg.connect(url) as connection:
        kept = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
        tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert (kept, tables) == ([("on",)] * 2, [])
    assert list(tmp_path.iterdir()) == []
