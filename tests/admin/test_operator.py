"""Who administers: each change is signed and dated, and a reading ends in time unless somebody waits for it."""

from dataclasses import replace

import pytest

from app.admin.operator import Operator
from tests.admin.conftest import NOW


def test_a_change_is_signed_and_dated_and_its_ids_are_new(operator: Operator) -> None:
    change = operator.change()
    assert (change.actor, change.now, operator.now) == ("test", NOW, NOW)
    assert change.new_id() != change.new_id()


@pytest.mark.parametrize("has_deadline", [True, False])
def test_only_who_waits_at_a_terminal_reads_without_a_deadline(operator: Operator, has_deadline: bool) -> None:
    if operator.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no deadline")
    with replace(operator, has_deadline=has_deadline).reading() as connection:
        timeout = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
    assert timeout == ("30s" if has_deadline else "0")
