"""An operator on a fresh store of either engine, with a clock and chance of the test's own."""

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from app.admin.operator import Operator
from app.database.engine import create_engine

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.fixture
def operator(engine: Engine) -> Operator:
    numbers = itertools.count(1)
    return Operator(engine, lambda: NOW, "test", lambda count: next(numbers).to_bytes(count, "little"))


@pytest.fixture
def make_operator(make_store: Callable[[], str]) -> Iterator[Callable[[], Operator]]:
    """Makes operators, each on a fresh store of its own."""
    engines: list[Engine] = []

    def make() -> Operator:
        engines.append(create_engine(make_store()))
        return Operator(engines[-1], lambda: NOW, "test", os.urandom)

    yield make
    for engine in engines:
        engine.dispose()
