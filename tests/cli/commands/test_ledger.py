"""`ledger`: a right ledger and a wrong one, bills over real HTTP, orphans closed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.admin.zenmux import bills
from app.cli.commands import ledger
from app.database.clock import to_ms
from app.database.engine import opened, writing
from app.database.schema import ledger_tables
from app.quotas.ledger.commands import Resolve
from app.quotas.ledger.spool.file import Spool
from app.settings.settings import Settings
from tests.cli.commands.test_usage import reservation
from tests.cli.conftest import NOW, Cli
from tests.quotas.making import add_totals_up, events, settled

OPEN = dict.fromkeys(
    (
        "resolved_at_ms",
        "outcome",
        "usage_source",
        "priced",
        "charged_requests",
        "charged_images",
        "charged_tokens",
        "charged_nanousd",
        "input_text_tokens",
        "input_image_tokens",
        "output_text_tokens",
        "output_image_tokens",
    )
)


def write(cli: Cli, *rows: dict[str, Any]) -> None:
    with opened(Settings(_env_file=None, data_dir=cli.data_dir).database) as engine, writing(engine) as connection:
        connection.execute(insert(ledger_tables.reservations), list(rows))
        add_totals_up(connection)


@contextmanager
def serving(body: bytes, status: int = 200) -> Iterator[str]:
    """A web server that answers everything with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/sandbox/bill"
        server.shutdown()


@pytest.fixture
def ready(cli: Cli) -> Cli:
    cli("db", "upgrade")
    return cli


def test_a_right_ledger_is_clean(ready: Cli) -> None:
    write(ready, reservation(1, NOW, upstream_request_id="up_1"))
    assert "The ledger is right." in ready("ledger", "audit").stderr
    assert ready.json("ledger", "audit") == {"clean": True, "findings": []}


def test_a_wrong_ledger_is_told_with_exit_code_1(ready: Cli) -> None:
    write(ready, reservation(1, NOW))
    with opened(Settings(_env_file=None, data_dir=ready.data_dir).database) as engine, writing(engine) as connection:
        connection.execute(update(ledger_tables.reservations).values(charged_images=-1))
    answer = ready.json("ledger", "audit", code=1)
    assert answer["clean"] is False
    assert {"severity", "check", "subject", "message"} == set(answer["findings"][0])
    result = ready("ledger", "audit", code=1)
    assert "wrong." in result.stderr
    assert "req_1" in result.stdout


def test_a_bill_is_compared(ready: Cli) -> None:
    write(ready, reservation(1, NOW, upstream_request_id="up_1"))
    entry = {
        "request_id": "up_1",
        "model": "openai/gpt-image-2",
        "n": 1,
        "input_tokens": 4,
        "output_tokens": 10,
        "cost_usd": "0.005970001",
        "created_at": NOW.isoformat(),
    }
    with serving(json.dumps({"generations": [entry], "total_cost_usd": "0.005970001"}).encode()) as url:
        assert ready.json("ledger", "audit", "--against-bill", url)["clean"] is True
    with serving(json.dumps({"generations": [entry | {"request_id": "up_2"}]}).encode()) as url:
        assert ready.json("ledger", "audit", "--against-bill", url, code=1)["clean"] is False


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"<html>", 200, "No bill could be read"),
        (b"[]", 200, "is no bill"),
        (b'{"generations": 3}', 200, "is no bill"),
        (b"{}", 404, "it answers 404"),
    ],
)
def test_what_is_no_bill_is_told(ready: Cli, body: bytes, status: int, told: str) -> None:
    with serving(body, status) as url:
        assert told in ready("ledger", "audit", "--against-bill", url, code=1).stderr


def test_an_endless_bill_is_not_read_to_its_end(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "_BILL_BYTES_MAX", 1_000_000)
    with serving(b" " * 2_000_000) as url:
        assert "is over 1 MB" in ready("ledger", "audit", "--against-bill", url, code=1).stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/bill", "ftp://127.0.0.1/bill", "nonsense", "http://[::1"])
def test_an_address_without_a_bill_is_told(ready: Cli, url: str) -> None:
    assert f"No bill could be read at {url}" in ready("ledger", "audit", "--against-bill", url, code=1).stderr


def test_expire_closes_what_dead_processes_left(ready: Cli) -> None:
    write(ready, reservation(1, NOW, state="pending", **OPEN))
    ready.now = NOW + timedelta(hours=1)
    assert ready.json("ledger", "expire") == {"expired": ["req_1"]}
    assert "Closed 0 reservations." in ready("ledger", "expire").stderr
    [row] = ready.json("usage", "report")
    assert (row["estimated"], row["nanousd"]) == (1, 6_000_000)
    assert ready.json("ledger", "audit")["clean"] is True


def test_what_expire_charges_crosses_thresholds_that_a_gateway_will_send(ready: Cli) -> None:
    ready.environment |= {"GATEWAY_WEBHOOK_URL": "https://example.com/hook", "GATEWAY_WEBHOOK_SECRET": "s" * 32}
    ready("limits", "set", "--gateway", "images:2/total")
    closing = ("resolved_at_ms", "outcome", "usage_source", "priced")
    charged = ("charged_requests", "charged_images", "charged_tokens", "charged_nanousd")
    usage = ("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens")
    write(ready, reservation(1, NOW, state="pending", **dict.fromkeys((*closing, *charged, *usage))))
    ready.now = NOW + timedelta(hours=1)
    ready("ledger", "expire")
    with opened(Settings(_env_file=None, data_dir=ready.data_dir).database) as engine:
        (event,) = events(engine)
    assert (event["percent"], event["used"], event["next_try_at_ms"]) == (50, 1, to_ms(ready.now))


def test_what_a_dead_gateway_still_knew_goes_before_an_estimate(ready: Cli) -> None:
    write(ready, reservation(1, NOW, state="pending", **OPEN))
    ready.now = NOW + timedelta(hours=1)
    spool = Spool(ready.data_dir / "spool", "dead", 10_000)
    spool.keep([Resolve("req_1", settled(NOW, nanousd=5_000_000))])
    spool.close()
    assert ready.json("ledger", "expire") == {"expired": []}
    [row] = ready.json("usage", "report")
    assert (row["estimated"], row["nanousd"]) == (0, 5_000_000)
    assert list((ready.data_dir / "spool").iterdir()) == []
    assert ready.json("ledger", "audit")["clean"] is True


def test_there_is_nothing_to_expire_without_a_database(cli: Cli) -> None:
    assert "There is no database yet" in cli("ledger", "expire", code=1).stderr
    assert not cli.data_dir.exists()


class TestPrune:
    OLD = NOW - timedelta(days=401)

    @pytest.fixture
    def aged(self, ready: Cli) -> Cli:
        write(ready, *(reservation(number, self.OLD) for number in range(7)), reservation(7, NOW))
        ready.now = NOW + timedelta(seconds=1)
        return ready

    def test_old_records_become_totals_and_reports_stay(self, aged: Cli) -> None:
        before = aged.json("usage", "report", "--by", "day")
        result = aged("ledger", "prune", "--older-than", "400d", "--yes")
        assert "Deleted 7 records from before 2025-10-20." in result.stderr
        assert result.stdout == ""
        assert aged.json("usage", "report", "--by", "day") == before
        assert aged.json("ledger", "audit") == {"clean": True, "findings": []}

    def test_json(self, aged: Cli) -> None:
        open_ = {
            name: None
            for name in reservation(8, NOW)
            if name.startswith(("resolved", "outcome", "usage", "priced", "charged", "input", "output"))
        }
        write(aged, reservation(8, self.OLD, state="pending", **open_))
        expected = {"before": "2025-10-20T00:00:00Z", "pruned": 7, "pending": 1}
        assert aged.json("ledger", "prune", "--older-than", "400d", "--yes") == expected
        assert aged.json("ledger", "prune", "--older-than", "400d") == expected | {"pruned": 0}
        assert "1 are pending and stay" in aged("ledger", "prune", "--older-than", "400d").stderr

    def test_it_asks_first(self, aged: Cli) -> None:
        result = aged("ledger", "prune", "--older-than", "400d", code=2)
        assert "Delete 7 records from before 2025-10-20?" in result.stderr
        assert "add --yes" in result.stderr
        assert aged.json("ledger", "prune", "--older-than", "400d", "--yes")["pruned"] == 7

    @pytest.mark.parametrize("age", ["34d", "24h", "soon", "-3d"])
    def test_what_is_too_young_is_refused(self, aged: Cli, age: str) -> None:
        assert "--older-than" in aged("ledger", "prune", f"--older-than={age}", "--yes", code=2).stderr
        assert len(aged.json("usage", "report", "--by", "day")) == 2

    def test_an_age_must_be_named(self, aged: Cli) -> None:
        assert "--older-than" in aged("ledger", "prune", "--yes", code=2).stderr

    def test_without_a_database_there_is_nothing(self, cli: Cli) -> None:
        assert "There is no database yet" in cli("ledger", "prune", "--older-than", "400d", code=1).stderr
        assert not cli.data_dir.exists()

    def test_long_work_tells_how_far_it_is(self, aged: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ledger, "_PROGRESS_SECONDS", -1)
        assert f"7 of 7, up to {self.OLD:%Y-%m-%d}" in aged("ledger", "prune", "--older-than", "400d", "--yes").stderr

    def test_a_report_does_not_cut_a_total_in_two(self, aged: Cli) -> None:
        aged("ledger", "prune", "--older-than", "400d", "--yes")
        told = aged("usage", "report", "--since", f"{self.OLD:%Y-%m-%d}T01:30Z", "--csv", code=1)
        assert f"begin or end a report with whole hours there: {self.OLD:%Y-%m-%d} 01:00" in told.stderr
        assert told.stdout == ""
