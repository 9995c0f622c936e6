import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from app.database import migrate, migrations
from app.database.engine import create_engine, reading, writing
from app.database.schema import identity_tables
from app.errors import Conflict, StoreUnavailable
from tests.database.conftest import LATER
from tests.database.revision import read_revision
from tests.database.todays_schema import todays_tables

NOW = migrations.HEAD

STEP = """
import sqlalchemy as sa
from alembic import op

revision = "{later}"
down_revision = "{now}"

def upgrade() -> None:
    op.add_column("teams", sa.Column("colour", sa.String(16), nullable=True))
    with op.batch_alter_table("users") as users:
        users.alter_column("name", existing_type=sa.String(120), type_=sa.String(200), existing_nullable=False)
    {ending}
"""


@pytest.fixture
def empty_engine(empty_store_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_store_url)
    yield engine
    engine.dispose()


def described(engine: Engine) -> object:
    """What a database says of its own tables, whoever made them."""
    inspector = inspect(engine)
    return {
        table: [
            _plain(inspector.get_columns(table)),
            _plain(inspector.get_pk_constraint(table)),
            _plain(inspector.get_foreign_keys(table)),
            _plain(inspector.get_unique_constraints(table)),
            _plain(inspector.get_check_constraints(table)),
            _plain(inspector.get_indexes(table)),
        ]
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def _plain(value: object) -> object:
    """Types and SQL as text; columns and constraints in the order of their text."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return sorted((_plain(inner) for inner in value), key=str)
    return str(value)


def add_alice(engine: Engine) -> None:
    """Her team, herself and her key: rows that refer to rows."""
    with writing(engine) as connection:
        connection.execute(identity_tables.teams.insert().values(id="team_1", name="Design", created_at_ms=1))
        connection.execute(
            identity_tables.users.insert().values(id="user_1", name="alice", team_id="team_1", created_at_ms=1)
        )
        connection.execute(identity_tables.keys.insert().values(id="0123456789ab", user_id="user_1", created_at_ms=1))


def users_of(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        return [(row.name, row.team_id) for row in connection.execute(identity_tables.users.select())]


def test_the_newest_step_is_the_one_the_code_names() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [migrations.HEAD]


def test_an_empty_database_gets_the_newest_schema(empty_engine: Engine) -> None:
    assert migrate.current(empty_engine) is None
    assert not migrate.is_current(empty_engine)
    migrate.upgrade(empty_engine)
    assert migrate.current(empty_engine) == migrations.HEAD
    assert migrate.is_current(empty_engine)
    with reading(empty_engine) as connection:
        assert read_revision(connection) == 0


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    add_alice(engine)
    migrate.upgrade(engine)
    assert users_of(engine) == [("alice", "team_1")]


def test_the_steps_make_what_the_schema_says(engine: Engine, empty_engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), todays_tables()) == []
    todays_tables().create_all(empty_engine)
    assert described(engine) == described(empty_engine)


def test_a_later_step_keeps_the_rows_and_what_refers_to_them(engine: Engine, later_version: Path) -> None:
    add_alice(engine)
    later_version.write_text(STEP.format(now=NOW, later=LATER, ending="pass"))
    migrate.upgrade(engine)
    assert migrate.current(engine) == LATER
    assert users_of(engine) == [("alice", "team_1")]
    with engine.connect() as connection, pytest.raises(Exception, match=r"(?i)foreign key"):
        connection.execute(identity_tables.users.insert().values(id="u", name="u", team_id="nobody", created_at_ms=1))


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ("raise ZeroDivisionError", ZeroDivisionError),
        ('op.execute("UPDATE teams SET no_such_column = 1")', Conflict),
        ('op.execute("COMMIT_OR_WHATEVER")', Conflict),
    ],
)
def test_a_step_that_fails_leaves_the_old_database_usable(
    engine: Engine, later_version: Path, ending: str, error: type[Exception]
) -> None:
    add_alice(engine)
    before = described(engine)
    later_version.write_text(STEP.format(now=NOW, later=LATER, ending=ending))
    with pytest.raises(error):
        migrate.upgrade(engine)
    assert migrate.current(engine) == NOW
    assert described(engine) == before
    assert users_of(engine) == [("alice", "team_1")]
    with writing(engine) as connection:
        connection.execute(identity_tables.teams.insert().values(id="team_2", name="Sales", created_at_ms=2))


def test_a_step_that_breaks_references_is_undone(engine: Engine, later_version: Path) -> None:
    add_alice(engine)
    later_version.write_text(STEP.format(now=NOW, later=LATER, ending='op.execute("DELETE FROM teams")'))
    with pytest.raises(Conflict):
        migrate.upgrade(engine)
    assert users_of(engine) == [("alice", "team_1")]
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM teams")).scalar() == 1


def test_a_database_of_a_newer_gateway_is_refused(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(Conflict, match=f"schema 0999.* up to {NOW}"):
        migrate.upgrade(engine)
    assert migrate.current(engine) == "0999"


UPGRADE = """
import sys
from app.database import migrate
from app.database.engine import create_engine
sys.stdin.readline()
engine = create_engine(sys.argv[1])
migrate.upgrade(engine)
print(migrate.current(engine))
engine.dispose()
"""


def test_processes_that_start_at_once_make_it_once(empty_store_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", UPGRADE, empty_store_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [(*process.communicate(timeout=110), process.returncode) for process in processes]
    assert results == [(f"{migrations.HEAD}\n", "", 0)] * 3


def test_a_start_on_a_current_database_does_without_alembic(store_url: str) -> None:
    script = (
        "import sys\n"
        "from app.database import migrate\n"
        "from app.database.engine import create_engine\n"
        "engine = create_engine(sys.argv[1])\n"
        "migrate.upgrade(engine)\n"
        "engine.dispose()\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, store_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("False\n", "", 0)


def test_a_gateway_on_sqlite_loads_nothing_of_postgresql() -> None:
    program = "import sys, app.main; print([name for name in sys.modules if 'postgresql' in name or 'psycopg' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_server_that_is_not_there_is_no_failed_migration() -> None:
    engine = create_engine("postgresql://gateway:hunter2@127.0.0.1:1/gateway")
    with pytest.raises(StoreUnavailable):
        migrate.upgrade(engine)
