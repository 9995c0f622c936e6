"""Moments as queries write them."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from app.admin_api.times import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("written", "hour"),
    [("2026-11-01", 0), ("2026-11-01T18:00Z", 18), ("2026-11-01T18:00", 18), ("2026-11-01T18:00:00+02:00", 16)],
)
def test_what_is_a_moment(written: str, hour: int) -> None:
    assert MOMENT.validate_python(written) == datetime(2026, 11, 1, hour, tzinfo=UTC)


@pytest.mark.parametrize("written", ["", "soon", "0.5", "1969-12-31", "9999-01-01", 5, None, "2026-13-01"])
def test_what_is_none(written: object) -> None:
    with pytest.raises(ValidationError, match=r"2026-11-01|1970"):
        MOMENT.validate_python(written)
