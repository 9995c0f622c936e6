"""A folder as the place where files lie."""

from pathlib import Path

import pytest

from app.files.store.folder import Folder


def test_it_holds_files_by_their_names(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data" / "files")
    folder.prepare()
    folder.prepare()
    folder.check()
    draft = tmp_path / "draft"
    draft.write_bytes(b"0123456789")
    folder.put(draft, "one")
    assert not draft.exists()
    content = folder.open("one")
    assert content is not None
    folder.delete("one")
    folder.delete("one")
    assert (content.size, content.read(3, 4), content.read(8, 10)) == (10, b"3456", b"89")
    content.close()
    content.close()
    assert folder.open("one") is None
    folder.mark("two")
    assert [found.name for found in folder.list()] == ["two"]


def test_others_do_not_read_it(tmp_path: Path) -> None:
    Folder(tmp_path / "files").prepare()
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        Folder(tmp_path / "file" / "files").prepare()
