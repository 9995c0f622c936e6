"""Copies an SQLite store into a file while gateways use it, and puts such a copy back. Blocks on the disk.

PostgreSQL has its own tools for both; `pg_dump_line` says how to call them.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from app.database import migrate
from app.errors import Conflict, InvalidValue, NotFound

_PAGES_AT_ONCE = 1000  # 4 MB: a writer waits no longer for the copy than this takes
_PAUSE_SECONDS = 0.005
_MISSED_MAX = 3  # heartbeats: after that a process is dead


def back_up(database: Path, target: Path) -> int:
    """Copies the store, as it is at the end of the copy, into the new file `target`, for its owner alone. Returns its
    bytes.

    Raises Conflict if `target` exists, or the copy is not sound; then there is no `target`.
    """
    if target.exists():
        raise Conflict(f"{target} exists; name a file that does not, or remove it first.")
    _copy(database, target)
    return target.stat().st_size


def restore(backup: Path, database: Path, now_ms: int) -> Path | None:
    """Puts a copy in the place of the store. The store that was there is kept beside it; returns where.

    Raises Conflict while a gateway uses the store, or if it was killed less than three heartbeats ago; InvalidValue if
    `backup` is no store, Conflict if it is one of a newer gateway.
    """
    if not backup.is_file():
        raise NotFound(f"There is no file {backup}.")
    migrate.refuse_unknown(_version(backup))
    kept: Path | None = None
    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    _copy(backup, new)
    if database.is_file():
        _refuse_used(database, now_ms)
        kept = database.with_name(f"{database.name}.before-{now_ms}")
        _copy(database, kept)
    for end in ("-wal", "-shm"):  # of the old file: they would be read into the new one
        database.with_name(database.name + end).unlink(missing_ok=True)
    new.rename(database)
    return kept


def pg_dump_line(url: str, target: Path, *, back: bool = False) -> str:
    """The command that copies a PostgreSQL store into a file, or back. Without the password, which pg_dump asks for."""
    parsed = make_url(url)
    shown = parsed._replace(drivername="postgresql", password=None).render_as_string()
    if back:
        return f"pg_restore --clean --if-exists --single-transaction --dbname='{shown}' '{target}'"
    return f"(umask 077; pg_dump --format=custom --file='{target}' '{shown}')"


def _copy(source: Path, target: Path) -> None:
    try:
        with target.open("xb") as made:
            os.fchmod(made.fileno(), 0o600)
        with closing(_read(source)) as old, closing(sqlite3.connect(target, isolation_level=None)) as new:
            old.backup(new, pages=_PAGES_AT_ONCE, sleep=_PAUSE_SECONDS)
            [found] = new.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Conflict(f"{source} is damaged: {found}.")
            new.execute("PRAGMA journal_mode = DELETE")  # one file, without a journal beside it
        with target.open("rb") as made:
            os.fsync(made.fileno())
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise Conflict(f"{source} could not be copied: {error}.") from None
    except Conflict:
        target.unlink(missing_ok=True)
        raise


def _version(backup: Path) -> str:
    try:
        with closing(_read(backup)) as connection:
            [version] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError):
        raise InvalidValue(f"{backup} is no copy of a gateway's database.") from None
    return str(version)


def _refuse_used(database: Path, now_ms: int) -> None:
    """A process that stopped has taken its heartbeat back; one that was killed misses them."""
    try:
        with closing(_read(database)) as connection:
            rows = connection.execute("SELECT beat_at_ms, interval_ms FROM heartbeats").fetchall()
    except sqlite3.Error:
        return  # damaged, or older than heartbeats: what is to be restored is better
    if any(beat_at and now_ms - beat_at < _MISSED_MAX * interval for beat_at, interval in rows):
        raise Conflict("A gateway uses the database. Stop it first; if it was killed, wait half a minute.")


def _read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=30)
