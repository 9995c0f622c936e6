"""Which files are kept, whose they are and until when: rows in the database. Knows no disk. Every function blocks, and
raises StoreUnavailable.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.schema import file_tables

_table = file_tables.files
_rows = file_tables.files.c
_NAMES_MAX = 500  # in one statement


class Kind(StrEnum):
    """What a file is."""

    IMAGE = "image"
    ANSWER = "answer"


class Owner(NamedTuple):
    """Whose request made it."""

    key_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One whole file."""

    id: str
    kind: Kind
    owner: Owner
    request_id: str
    size: int
    content_type: str
    created_at: datetime
    expires_at: datetime


class Index:
    """The rows of all files of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, file: StoredFile) -> None:
        """Does nothing if it is there: the try before may have come through after all."""
        with suppress(IntegrityError), writing(self._engine) as connection:
            connection.execute(
                insert(_table).values(
                    id=file.id,
                    kind=file.kind.value,
                    key_id=file.owner.key_id,
                    user_id=file.owner.user_id,
                    request_id=file.request_id,
                    bytes=file.size,
                    content_type=file.content_type,
                    created_at_ms=to_ms(file.created_at),
                    expires_at_ms=to_ms(file.expires_at),
                )
            )

    def find(self, file_id: str) -> StoredFile | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(_table).where(_rows.id == file_id)).one_or_none()
        return None if row is None else _file(row)

    def total_bytes(self) -> int:
        """Of all files."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.coalesce(func.sum(_rows.bytes), 0))).scalar_one())

    def expired(self, now: datetime) -> list[str]:
        """Some files whose time is over."""
        over = select(_rows.id).where(_rows.expires_at_ms <= to_ms(now)).order_by(_rows.expires_at_ms).limit(_NAMES_MAX)
        with reading(self._engine) as connection:
            return list(connection.execute(over).scalars())

    def oldest(self, bytes_count: int) -> list[str]:
        """The oldest files that have so many bytes together, or some of them."""
        rows = select(_rows.id, _rows.bytes).order_by(_rows.created_at_ms, _rows.id).limit(_NAMES_MAX)
        found: list[str] = []
        with reading(self._engine) as connection:
            for file_id, size in connection.execute(rows):
                if bytes_count <= 0:
                    break
                found.append(file_id)
                bytes_count -= size
        return found

    def known(self, names: Sequence[str]) -> set[str]:
        """Those of `names` that are files."""
        found: set[str] = set()
        with reading(self._engine) as connection:
            for some in _portions(names):
                found.update(connection.execute(select(_rows.id).where(_rows.id.in_(some))).scalars())
        return found

    def remove(self, ids: Sequence[str]) -> None:
        for some in _portions(ids):
            with writing(self._engine) as connection:
                connection.execute(delete(_table).where(_rows.id.in_(some)))


class WantedFiles(NamedTuple):
    """Which files. `user_ids` None: of all. `after`: older ones than that with this time and id."""

    user_ids: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[int, str] | None = None


def list_files(connection: Connection, wanted: WantedFiles, limit: int) -> list[StoredFile]:
    """At most `limit` files, the newest first."""
    query = select(_table).order_by(_rows.created_at_ms.desc(), _rows.id.desc()).limit(limit)
    if wanted.user_ids is not None:
        query = query.where(_rows.user_id.in_(sorted(wanted.user_ids)))
    if wanted.since is not None:
        query = query.where(_rows.created_at_ms >= to_ms(wanted.since))
    if wanted.until is not None:
        query = query.where(_rows.created_at_ms < to_ms(wanted.until))
    if wanted.after is not None:
        query = query.where(tuple_(_rows.created_at_ms, _rows.id) < wanted.after)
    return [_file(row) for row in connection.execute(query)]


def images_of(connection: Connection, user_id: str, since: datetime, now: datetime, limit: int) -> list[StoredFile]:
    """The newest images of that user that were made since then and have not expired."""
    query = select(_table).where(_rows.created_at_ms >= to_ms(since), _rows.expires_at_ms > to_ms(now))
    query = query.where(_rows.user_id == user_id, _rows.kind == Kind.IMAGE.value)
    newest = query.order_by(_rows.created_at_ms.desc(), _rows.id.desc()).limit(limit)
    return [_file(row) for row in connection.execute(newest)]


def _portions(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _NAMES_MAX] for start in range(0, len(names), _NAMES_MAX))


def _file(row: Row[tuple[object, ...]]) -> StoredFile:
    return StoredFile(
        id=row.id,
        kind=Kind(row.kind),
        owner=Owner(row.key_id, row.user_id),
        request_id=row.request_id,
        size=row.bytes,
        content_type=row.content_type,
        created_at=from_ms(row.created_at_ms),
        expires_at=from_ms(row.expires_at_ms),
    )
