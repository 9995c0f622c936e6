"""The rows of files, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from app.files.store.index import Index, Kind, StoredFile
from tests.files.store.making import ANN
from tests.quotas.making import NOON


@pytest.fixture
def index(engine: Engine) -> Index:
    return Index(engine)


def a_file(number: int, size: int = 100) -> StoredFile:
    made = NOON + timedelta(seconds=number)
    return StoredFile(f"{number:032x}", Kind.ANSWER, ANN, "req", size, "image/png", made, made + timedelta(hours=1))


def test_a_row_says_what_was_added(index: Index) -> None:
    file = replace(a_file(1), size=3_000_000_000)
    index.add(file)
    assert index.find(file.id) == file
    assert index.find("0" * 32) is None
    assert index.total_bytes() == 3_000_000_000


def test_the_oldest_and_the_expired(index: Index) -> None:
    assert index.total_bytes() == 0
    assert index.oldest(1) == []
    files = [a_file(number) for number in range(5)]
    for file in reversed(files):
        index.add(file)
    ids = [file.id for file in files]
    assert index.oldest(0) == []
    assert index.oldest(1) == ids[:1]
    assert index.oldest(201) == ids[:3]
    assert index.oldest(10_000) == ids
    assert index.expired(files[0].expires_at - timedelta(milliseconds=1)) == []
    assert index.expired(files[1].expires_at) == ids[:2]


def test_many_names_at_once(index: Index) -> None:
    for number in range(3):
        index.add(a_file(number))
    names = [f"{number:032x}" for number in range(1200)]
    assert index.known(names) == {f"{number:032x}" for number in range(3)}
    assert index.known([]) == set()
    index.remove(names[1:])
    assert index.total_bytes() == 100
    index.remove([])
