"""The report: its lines come as they are taken, and have one JSON form."""

from sqlalchemy import insert

from app.admin.operator import Operator
from app.admin.usage import usage_report, usage_row_json
from app.database.schema import ledger_tables
from app.quotas.reports.usage import Grouping
from tests.admin.conftest import NOW
from tests.cli.commands.test_usage import reservation
from tests.quotas.making import add_totals_up


def test_a_line_has_its_name_and_its_money_twice(operator: Operator) -> None:
    with operator.writing() as connection:
        connection.execute(insert(ledger_tables.reservations), [reservation(1, NOW)])
        add_totals_up(connection)
    with usage_report(operator, Grouping.MODEL) as rows:
        [line] = [usage_row_json(row) for row in rows]
    assert line["name"] == line["id"]
    assert line["requests"] == 1
    assert int(float(line["usd"]) * 10**9) == line["nanousd"]
