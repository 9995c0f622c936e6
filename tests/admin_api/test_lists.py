"""Lists as CSV: every one, where the request wants it so, and not where it refuses it."""

import csv
import io

import pytest

from app.admin_api.lists import wants_csv
from app.identity.people.roles import Role
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.admin_api.test_document import LISTS, live_a_while
from tests.admin_api.test_records import sandbox, upstream_url
from tests.servers import assert_bill_is_ledger

__all__ = ["sandbox", "upstream_url"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv;q=0.1", True),
        ("application/json, text/csv", True),
        ("text/csv;q=0.5, application/json;q=0.4, */*;q=0.9", True),
        ("text/csv;q=0", False),
        ("text/csv; q=0.000, */*", False),
        ("application/json, text/csv;q=0.9", False),
        ("text/csv;q=none", False),
        ("text/csvx", False),
        ("text/*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_wants_csv(accept: str, wanted: bool) -> None:
    assert wants_csv(accept) is wanted


def test_every_list_comes_as_csv(admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]) -> None:
    live_a_while(admin)
    for path in (*(f"/{name}" for name in LISTS), "/reservations", "/requests?state=live"):
        rows = admin.get(path, headers={"accept": "text/csv;q=0"}).json()["data"]
        answer = admin.get(path, headers={"accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8", path
        assert answer.headers["x-has-more"] == "false", path
        columns, *cells = csv.reader(io.StringIO(answer.text))
        assert len(cells) == len(rows), path
        if rows:
            assert set(columns) >= rows[0].keys() - {"object"}, path
            assert [line[columns.index("id")] for line in cells] == [row["id"] for row in rows], path
    assert_bill_is_ledger(admin.gateway, sandbox, 2)
