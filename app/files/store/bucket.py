"""A place for files that is a bucket of an S3 service, through obstore. Keys and region come from the environment's
AWS_* variables, as every S3 program reads them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import ConfigurationError
from app.files.store.place import Found

if TYPE_CHECKING:
    from obstore.store import S3Store

_PROBE = "probe"
_PART_BYTES = 5_242_880  # the least that S3 takes; one part at a time is in memory
_SECONDS_MAX = 15


class BucketContent:
    """One object. It cannot be read on once it is deleted."""

    descriptor = None

    def __init__(self, store: "S3Store", name: str, size: int) -> None:
        self._store = store
        self._name = name
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        with _os_errors():
            return bytes(self._store.get_range(self._name, start=offset, length=size))

    def close(self) -> None:
        """Nothing is open between two reads."""


class Bucket:
    """Objects below the address `url`, such as s3://bucket/prefix. Making one asks nobody. Raises ConfigurationError
    where `url`, or the environment, cannot be right.
    """

    read_bytes = 524_288  # a round trip each

    def __init__(self, url: str) -> None:
        try:
            from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra, which not everybody installs
            from obstore.store import S3Store  # noqa: PLC0415 - as above
        except ImportError:
            raise ConfigurationError(
                "GATEWAY_FILES_URL names a bucket, which needs one package more: pip install 'zenmux-gateway[s3]'."
            ) from None
        timeout: Any = timedelta(seconds=_SECONDS_MAX)
        try:
            self._store = S3Store.from_url(
                url,
                client_options={"allow_http": True, "timeout": timeout, "connect_timeout": timeout},
                retry_config={"max_retries": 3, "retry_timeout": timeout},
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError(f"GATEWAY_FILES_URL cannot be used: {_reason(error)}") from error

    def prepare(self) -> None:
        self.check()

    def check(self) -> None:
        self.mark(_PROBE)

    def put(self, draft: Path, name: str) -> None:
        with _os_errors(), draft.open("rb") as file:
            self._store.put(name, file, chunk_size=_PART_BYTES, max_concurrency=1)

    def mark(self, name: str) -> None:
        with _os_errors():
            self._store.put(name, b"")

    def open(self, name: str) -> BucketContent | None:
        try:
            with _os_errors():
                return BucketContent(self._store, name, self._store.head(name)["size"])
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        try:
            with _os_errors():
                self._store.delete(name)
        except FileNotFoundError:
            return

    def list(self) -> Iterator[Found]:
        with _os_errors():
            for some in self._store.list():
                for each in some:
                    if each["path"] != _PROBE:
                        yield Found(each["path"], each["last_modified"].timestamp())


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turns obstore's errors into OSError: whoever uses a place need not know what it is."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - as above

    try:
        yield
    except FileNotFoundError:
        raise
    except BaseError as error:
        raise OSError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The first line of what obstore says, which is many."""
    return str(error).partition("\n")[0][:300]
