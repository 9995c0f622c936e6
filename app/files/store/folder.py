"""A place for files that is a folder: this machine's own, or one that several gateways mount."""

import os
from collections.abc import Iterator
from pathlib import Path

from app.files.store.place import Found

_FREE_BYTES_MIN = 67_108_864  # what a few images may need before the next look


class FolderContent:
    """One file, open. It can be read to its end even if it is deleted meanwhile."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Folder:
    """Files in `path`, each under its own name."""

    read_bytes = 131_072

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check(self) -> None:
        check_room(self._path)

    def put(self, draft: Path, name: str) -> None:
        draft.replace(self._path / name)

    def mark(self, name: str) -> None:
        (self._path / name).touch(mode=0o600)

    def open(self, name: str) -> FolderContent | None:
        try:
            return FolderContent(self._path / name)
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def list(self) -> Iterator[Found]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                try:
                    yield Found(entry.name, entry.stat().st_mtime)
                except FileNotFoundError:
                    continue  # deleted a moment ago


def check_room(folder: Path) -> None:
    """Raises OSError where the disk of `folder` is nearly full, or takes no file."""
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < _FREE_BYTES_MIN:
        raise OSError(28, "No space left on device")  # ENOSPC
