"""The benchmark of `db move`: every record and both kinds of totals are moved."""

from pathlib import Path

from app.database.engine import create_engine
from app.database.migrate import upgrade
from bench.growth import Load, fill
from bench.moving import moved
from tests.stores import PostgresqlServer


def test_every_row_is_moved(tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    upgrade(engine)
    fill(engine, Load(50, 10))
    engine.dispose()
    target = postgresql_server.create()
    found = moved(tmp_path, target)
    postgresql_server.drop(target)
    assert found["rows"] >= 50 * 3
    assert found["seconds"] > 0
