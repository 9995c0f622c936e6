"""A pooler in transaction mode is found out; a real pgbouncer where there is one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from app.database.engine import create_engine
from app.database.pooling import refuse_transaction_pooling
from app.errors import ConfigurationError, StoreUnavailable
from tests.forking import run_command
from tests.servers import free_port, wait_until

_UNPACKED = Path(__file__).parents[2] / ".tools" / "pgbouncer" / "usr"  # `make tools` puts Debian's package there
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=f"/usr/sbin:{_UNPACKED / 'sbin'}")
LIBRARIES = ":".join(str(folder) for folder in _UNPACKED.glob("lib/*-linux-*"))


@contextmanager
def pgbouncer(postgresql_url: str, folder: Path, mode: str) -> Iterator[str]:
    """A pgbouncer in front of the database; gives the URL that leads through it."""
    behind = psycopg.conninfo.conninfo_to_dict(postgresql_url)
    port = free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={behind['host']} user={behind['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n"
        "unix_socket_dir =\n"
    )
    # It refuses to run as root, and must reach the server's socket.
    user = ["-u", Path(str(behind["host"])).owner()] if os.geteuid() == 0 else []
    folder.chmod(0o755)
    environment = {**os.environ, "LD_LIBRARY_PATH": LIBRARIES}
    command = [str(PGBOUNCER), *user, str(configuration)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    url = f"postgresql://{behind['user']}@127.0.0.1:{port}/{behind['dbname']}"
    try:
        wait_until(lambda: process.poll() is None and _answers(url), "pgbouncer answers")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_database_without_a_pooler_is_fine(engine: Engine) -> None:
    for _ in range(3):
        refuse_transaction_pooling(engine)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        refuse_transaction_pooling(create_engine("postgresql://gateway@127.0.0.1:1/ledger"))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that pgbouncer's user can reach."""
    made = tmp_path_factory.mktemp("pgbouncer")
    for parent in list(made.parents)[:2]:
        parent.chmod(0o755)
    return made


@pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer here")
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_only_transaction_mode_is_refused(postgresql_url: str, folder: Path, mode: str) -> None:
    with pgbouncer(postgresql_url, folder, mode) as url:
        engine = create_engine(url)
        for _ in range(3):
            if mode == "session":
                refuse_transaction_pooling(engine)
            else:
                with pytest.raises(ConfigurationError, match="session mode"):
                    refuse_transaction_pooling(engine)
        engine.dispose()


@pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer here")
@pytest.mark.parametrize("command", [["serve"], ["config", "check"]], ids=" ".join)
def test_commands_say_so_at_the_start(postgresql_url: str, folder: Path, command: list[str]) -> None:
    with pgbouncer(postgresql_url, folder, "transaction") as url:
        environment = {
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_DATA_DIR": str(folder / "data"),
            "GATEWAY_PORT": str(free_port()),
            "ZENMUX_API_KEY": "sk-ai-v1-test",
        }
        done = run_command(command, {**os.environ, **environment})
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "pooler in transaction mode" in said
    assert "session mode" in said
    assert "Traceback" not in said
