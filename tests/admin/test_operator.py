"""Who administers: each change is signed and dated, and a reading ends in time unless somebody waits for it."""

import pytest

from app.admin.operator import Operator
from app.database.engine import opened
from tests.admin.conftest import NOW


def test_a_change_is_signed_and_dated_and_its_ids_are_new(operator: Operator) -> None:
    change = operator.change()
    assert (change.actor, change.now, operator.now) == ("test", NOW, NOW)
    assert change.new_id() != change.new_id()


@pytest.mark.parametrize(("has_deadline", "timeout"), [(True, "30s"), (False, "0")])
def test_only_who_waits_at_a_terminal_reads_without_a_deadline(
    postgresql_url: str,
    has_deadline: bool,
    timeout: str,
) -> None:
    with opened(postgresql_url) as engine:
        operator = Operator(engine, lambda: NOW, "test", has_deadline=has_deadline)
        with operator.reading() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == timeout
