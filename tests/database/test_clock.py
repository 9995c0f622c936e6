from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database.clock import from_ms, to_ms


def test_the_epoch_is_zero() -> None:
    assert to_ms(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_parts_of_a_millisecond_are_rounded_down() -> None:
    assert to_ms(datetime(2026, 1, 1, 0, 0, 0, 1999, tzinfo=UTC)) % 1000 == 1
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_other_time_zones_are_understood() -> None:
    berlin = timezone(timedelta(hours=2))
    assert to_ms(datetime(2026, 6, 1, 2, tzinfo=berlin)) == to_ms(datetime(2026, 6, 1, 0, tzinfo=UTC))


def test_a_naive_time_is_a_bug() -> None:
    with pytest.raises(TypeError):
        to_ms(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


@given(st.integers(min_value=-(10**13), max_value=10**14))
def test_there_and_back(milliseconds: int) -> None:
    moment = from_ms(milliseconds)
    assert moment.tzinfo is UTC
    assert to_ms(moment) == milliseconds
