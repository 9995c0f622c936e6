"""An operator on a fresh store of either engine, with a clock and chance of the test's own."""

import itertools
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from app.admin.operator import Operator

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.fixture
def operator(engine: Engine) -> Operator:
    numbers = itertools.count(1)
    return Operator(engine, lambda: NOW, "test", lambda count: next(numbers).to_bytes(count, "little"))
