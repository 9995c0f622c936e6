"""CSV files that a spreadsheet opens without running them."""

import csv
import io

from app.console.web.csv_answer import csv_answer


def test_numbers_stay_and_formulas_do_not_run() -> None:
    answer = csv_answer("x", ("name", "n"), [("=1+1", 5), ("a,b\n", None), ("\u0627", -3)])
    rows = list(csv.reader(io.StringIO(bytes(answer.body).decode())))
    assert rows[0] == ["name", "n"]
    assert not rows[1][0].startswith("=")
    assert [row[1] for row in rows[1:]] == ["5", "", "-3"]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="x.csv"'
