"""An SQLite file that is deleted or replaced while it is open: noticed, whatever has a connection, until a restart."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database.engine import create_engine, reading, writing
from app.database.store_file import check_file
from app.errors import StoreUnavailable


def delete(path: Path) -> None:
    path.unlink()


def replace_by_a_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)
    copy.rename(path)


def move_away(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))


@pytest.mark.parametrize("lose", [delete, replace_by_a_copy, move_away])
def test_what_has_lost_its_file_neither_reads_nor_writes_nor_makes_it_anew(
    tmp_path: Path, lose: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gateway.db"
    engine = create_engine(f"sqlite:///{path}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    check_file(engine)
    lose(path)
    was_there = path.exists()
    for _ in range(2):
        for open_ in (reading, writing):
            with pytest.raises(StoreUnavailable), open_(engine) as connection:
                connection.execute(text("SELECT 1"))
    engine.dispose()  # connections are made anew
    with pytest.raises(StoreUnavailable), reading(engine):
        pass
    with pytest.raises(StoreUnavailable):
        check_file(engine)
    assert path.exists() == was_there
    assert [record.getMessage() for record in caplog.records] == ["database_file_replaced"]
    engine.dispose()


def test_a_file_that_stays_may_change_in_every_other_way(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'gateway.db'}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("BEGIN")
    (tmp_path / "gateway.db").chmod(0o640)
    check_file(engine)
    engine.dispose()
