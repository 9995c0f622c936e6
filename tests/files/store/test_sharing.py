"""Marks of processes in the place where files lie."""

from pathlib import Path

from app.files.store.folder import Folder
from app.files.store.sharing import instance_of, mark_name, without_mark


def test_a_mark_names_its_process(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    place.mark(mark_name("one"))
    assert without_mark(place, ["one", "two"]) == ["two"]
    assert instance_of(mark_name("one")) == "one"
    assert instance_of("0" * 32) is None
