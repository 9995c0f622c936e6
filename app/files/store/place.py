"""Where whole files lie: what the store asks of a folder and of a bucket alike. Every method may wait for a disk or a
network, so it is called in a thread. Each raises OSError if the place fails.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """A name in the place, and when it was last written, in seconds since 1970."""

    name: str
    written_at: float


class Content(Protocol):
    """The bytes of one file in the place, which may be deleted meanwhile. Close it."""

    size: int

    @property
    def descriptor(self) -> int | None:
        """Of the file, where this machine has it open."""
        ...

    def read(self, offset: int, size: int) -> bytes: ...
    def close(self) -> None: ...


class FilePlace(Protocol):
    """Holds files by their names. `read_bytes` is how much one read should ask for."""

    read_bytes: int

    def prepare(self) -> None:
        """Makes it ready."""
        ...

    def check(self) -> None:
        """Raises OSError where it would take no file now."""
        ...

    def put(self, draft: Path, name: str) -> None:
        """Takes the file `draft`, all at once: nobody finds half of it. `draft` may be gone afterwards."""
        ...

    def mark(self, name: str) -> None:
        """Puts an empty file."""
        ...

    def open(self, name: str) -> Content | None: ...

    def delete(self, name: str) -> None:
        """Does nothing if it is gone already."""
        ...

    def list(self) -> Iterator[Found]: ...
