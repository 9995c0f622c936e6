"""Several ZenMux accounts end to end: who is asked, what moves on to the next, what never does, and who pays."""

import asyncio
import json
import logging
import socket
import time
import urllib.request
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from app.admin.operator import Operator
from app.admin.zenmux.accounts import list_accounts, rest_account, resume_account
from app.admin.zenmux.bills import bills_to_compare, days_json, reconcile_day
from app.images.catalog.catalog import load_catalog
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.accounts import AccountOrder, parse_accounts
from app.settings.settings import Settings
from app.upstream.zenmux import Upstream
from tests.e2e.conftest import StartGateway
from tests.image_files import image_file
from tests.servers import Key, RunningGateway, Store, fetch_json, free_port, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "prompt": "a fox"}
KEYS = "main=sk-ai-v1-main, spare=sk-ai-v1-spare"
CREDIT, RATE, REVOKED = "status=402", "status=429 retry-after=30", "status=403 type=access_denied"


def rule(sandbox: SandboxServer, key: str, written: str | None, every: int = 1) -> None:
    """What the sandbox answers each such request of this key from now on; None: images."""
    data = None if written is None else written.encode()
    method = "DELETE" if written is None else "PUT"
    url = f"{sandbox.bill_url.removesuffix('bill')}keys/{key}?every={every}"
    urllib.request.urlopen(urllib.request.Request(url, data, method=method)).close()


def ask(gateway: RunningGateway, key: Key, **more: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", headers=headers, json={**BODY, **more}, timeout=60)


def bill_of(sandbox: SandboxServer, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fetch_json(f"{sandbox.bill_url}?key={key}")["generations"]
    return found


def check_bills(sandbox: SandboxServer, store: Store, names: tuple[str, ...] = ("main", "spare")) -> dict[str, int]:
    """Each account's own bill is its part of the ledger. How many images each made."""
    rows = store.settled()
    assert store.findings(fetch_json(sandbox.bill_url)) == []
    counts = {}
    for name in names:
        bill = bill_of(sandbox, name)
        mine = [row for row in rows if row["account"] == name and row["charged_nanousd"]]
        assert {row["upstream_request_id"] for row in mine} == {line["request_id"] for line in bill}
        assert sum(row["charged_nanousd"] for row in mine) == sum(line["cost_nanousd"] for line in bill)
        counts[name] = len(bill)
    return counts


@pytest.fixture
def pair(start_gateway: StartGateway, sandbox: SandboxServer) -> RunningGateway:
    """A gateway that asks `main` first, then `spare`."""
    return start_gateway(sandbox.url, zenmux_api_key=None, zenmux_api_keys=KEYS, account_order="priority")


def accounts_of(gateway: RunningGateway) -> str:
    return str(fetch_json(f"{gateway.root}/readyz")["accounts"])


def test_accounts_take_turns_by_their_weights(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, zenmux_api_key=None, zenmux_api_keys=f"{KEYS}*2")
    key = gateway.store.key()
    assert [ask(gateway, key).status_code for _ in range(6)] == [200] * 6
    assert check_bills(sandbox, gateway.store) == {"main": 2, "spare": 4}


@pytest.mark.parametrize(
    ("written", "state"),
    [
        (CREDIT, "down, credit"),
        ("status=402 type=quote_exceeded", "down, quota"),
        (REVOKED, "down, key"),
        (RATE, "resting, rate_limit"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_for_the_accounts_sake_goes_to_the_next(
    pair: RunningGateway, sandbox: SandboxServer, written: str, state: str, stream: bool
) -> None:
    key = pair.store.key("requests:10/day")
    rule(sandbox, "main", written)
    for _ in range(2):
        answer = ask(pair, key, stream=stream)
        assert answer.status_code == 200
        assert b"b64_json" in answer.content
    assert accounts_of(pair) == f"1 of 2 up (main {state})"
    assert pair.metric("zenmux_gateway_account_up", account="main") == 0
    assert pair.metric("zenmux_gateway_account_up", account="spare") == 1
    assert pair.metric("zenmux_gateway_account_rests_total", account="main") == 1
    assert pair.metric("zenmux_gateway_upstream_errors_total") == 1
    assert pair.metric("zenmux_gateway_upstream_errors_total", account="main") == 1
    assert check_bills(sandbox, pair.store) == {"main": 0, "spare": 2}
    assert [row["charged_requests"] for row in pair.store.rows()] == [1, 1]


def test_each_accounts_failure_is_counted_once_where_it_happened(pair: RunningGateway, sandbox: SandboxServer) -> None:
    rule(sandbox, "main", CREDIT)
    rule(sandbox, "spare", RATE)
    assert ask(pair, pair.store.key()).status_code == 429

    def count(**labels: str) -> float:
        return pair.metric("zenmux_gateway_upstream_errors_total", **labels)

    assert count() == 2
    assert count(account="main", kind="account_credit") == count(account="spare", kind="rate_limit") == 1


def test_the_log_says_which_account_a_request_was_on_and_what_becomes_of_accounts(
    pair: RunningGateway, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    key = pair.store.key()

    def lines(name: str) -> list[dict[str, Any]]:
        return [record.__dict__ for record in caplog.records if record.message == name]

    def buy(account: str) -> None:
        answer = ask(pair, key)
        assert answer.status_code == 200
        mine = answer.headers["x-request-id"]

        def found() -> list[str]:
            fields = [line["fields"] for line in lines("request")]
            return [each["account"] for each in fields if each["request_id"] == mine]

        wait_until(lambda: found() == [account], f"its line has the account {account}")

    buy("main")
    rule(sandbox, "main", RATE)
    buy("spare")
    [resting] = lines("account_resting")
    assert (resting["account"], resting["why"]) == ("main", "rate_limit")
    assert 0 < resting["seconds"] <= 30
    rule(sandbox, "main", CREDIT)
    operator, specs = Operator(pair.store.engine, utc_now, "test"), pair.settings.accounts
    resume_account(operator, specs, "main")
    wait_until(lambda: accounts_of(pair) == "2 of 2 up", "main is in again")
    assert [line["account"] for line in lines("account_up")] == ["main"]
    buy("spare")
    [down] = lines("account_down")
    assert (down["account"], down["why"]) == ("main", "credit")


def test_a_model_goes_to_the_accounts_that_may_serve_it(
    start_gateway: StartGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, spare = parse_accounts(KEYS)
    accounts = replace(main, models=("gpt-image-1.5",)), replace(spare, models=("openai/gpt-image-2",))
    monkeypatch.setattr(Settings, "accounts", accounts)
    gateway = start_gateway(sandbox.url, zenmux_api_key=None, account_order="priority")
    key = gateway.store.key()
    assert [ask(gateway, key).status_code for _ in range(2)] == [200, 200]
    assert ask(gateway, key, model="gpt-image-1.5").status_code == 200
    assert check_bills(sandbox, gateway.store) == {"main": 1, "spare": 2}
    answer = ask(gateway, key, model="gpt-image-1-mini")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found"), answer.text
    rule(sandbox, "spare", CREDIT)  # main may not serve what spare refuses
    assert ask(gateway, key).json()["error"]["code"] == "upstream_account_fault"
    assert check_bills(sandbox, gateway.store) == {"main": 1, "spare": 2}


def test_the_deadline_counts_over_both_accounts(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    """Each account alone would answer in time."""
    gateway = start_gateway(
        sandbox.url,
        zenmux_api_key=None,
        zenmux_api_keys=KEYS,
        account_order="priority",
        exchange_seconds_max=2,
    )
    rule(sandbox, "main", f"delay=1500ms {CREDIT}")
    began = time.monotonic()
    answer = ask(gateway, gateway.store.key(), prompt="x [sandbox: delay=1500ms]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout"), answer.text
    assert time.monotonic() - began < 2.9
    (row,) = gateway.store.settled(1)
    assert (row["account"], row["usage_source"]) == ("spare", "estimated")  # it was sent, and may be bought
    assert gateway.metric("zenmux_gateway_upstream_errors_total", account="main", kind="account_credit") == 1
    assert gateway.metric("zenmux_gateway_upstream_errors_total", account="spare", kind="deadline") == 1


def test_an_edit_goes_to_the_next_with_all_its_images(pair: RunningGateway, sandbox: SandboxServer) -> None:
    rule(sandbox, "main", CREDIT)
    files = [("image", ("a.png", image_file((300, 300)))), ("image", ("b.png", image_file((400, 400))))]
    headers = {"authorization": f"Bearer {pair.store.key().text}"}
    fields = {name: str(value) for name, value in BODY.items()}
    answer = httpx2.post(f"{pair.url}/images/edits", headers=headers, data=fields, files=files, timeout=60)
    assert answer.status_code == 200, answer.text
    assert check_bills(sandbox, pair.store) == {"main": 0, "spare": 1}
    (row,) = pair.store.rows()
    assert row["input_image_tokens"] == bill_of(sandbox, "spare")[0]["input_image_tokens"] > 0


@pytest.mark.parametrize(
    ("directive", "status"),
    [
        ("moderation", 400),
        ("status=400", 400),
        ("status=404", 404),
        ("status=413", 400),
        ("status=403 type=safety_check_failed", 400),
        ("status=500", 502),
        ("html=403", 502),
        ("reset", 502),
    ],
)
def test_a_refusal_of_the_request_or_what_was_sent_never_goes_to_a_second_account(
    pair: RunningGateway, sandbox: SandboxServer, directive: str, status: int
) -> None:
    answer = ask(pair, pair.store.key(), prompt=f"x [sandbox: {directive}]")
    assert answer.status_code == status, answer.text
    (row,) = pair.store.settled(1)
    assert row["account"] == "main"
    assert bill_of(sandbox, "spare") == []
    assert accounts_of(pair) == "2 of 2 up"


@pytest.mark.parametrize(
    ("first", "second", "code", "retry_after"),
    [(CREDIT, REVOKED, "upstream_account_fault", None), (CREDIT, RATE, "no_account_available", range(1, 31))],
)
def test_with_no_account_up_the_answer_is_at_once_and_says_whether_waiting_helps(
    pair: RunningGateway, sandbox: SandboxServer, first: str, second: str, code: str, retry_after: range | None
) -> None:
    key = pair.store.key()
    rule(sandbox, "main", first)
    rule(sandbox, "spare", second)
    assert ask(pair, key).status_code in (429, 503)  # what ZenMux said last
    made = len(pair.store.settled())
    answer = ask(pair, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, code)
    assert answer.headers.get("x-should-retry") == ("false" if retry_after is None else None)
    found = answer.headers.get("retry-after")
    assert found is None if retry_after is None else int(found or 0) in retry_after
    assert len(pair.store.rows()) == made, "nothing was reserved"
    assert fetch_json(f"{pair.root}/readyz")["status"] == "ready"
    assert check_bills(sandbox, pair.store) == {"main": 0, "spare": 0}


def test_a_server_that_is_not_reached_is_left_for_another(
    start_gateway: StartGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.upstream.zenmux._BACKOFF_SECONDS", 0.0)
    main, spare = parse_accounts(KEYS)
    main = replace(main, base_url=f"http://127.0.0.1:{free_port()}/api/v1")
    monkeypatch.setattr(Settings, "accounts", (main, spare))
    gateway = start_gateway(sandbox.url, zenmux_api_key=None, account_order="priority")
    key = gateway.store.key()
    assert [ask(gateway, key).status_code for _ in range(3)] == [200] * 3
    assert accounts_of(gateway) == "1 of 2 up (main resting, connection)"
    assert check_bills(sandbox, gateway.store) == {"main": 0, "spare": 3}


def test_limits_of_an_account_hold_and_the_next_takes_what_does_not_fit(
    pair: RunningGateway, sandbox: SandboxServer
) -> None:
    pair.store.limit_account("main", "images:2/day")
    key = pair.store.key()
    assert [ask(pair, key).status_code for _ in range(3)] == [200] * 3
    assert check_bills(sandbox, pair.store) == {"main": 2, "spare": 1}
    pair.store.limit_account("spare", "requests:1/day")
    answer = ask(pair, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert check_bills(sandbox, pair.store) == {"main": 2, "spare": 1}


def test_what_moves_to_an_account_without_room_is_refused_with_the_first_ones_words(
    pair: RunningGateway, sandbox: SandboxServer
) -> None:
    pair.store.limit_account("spare", "images:1/day")
    rule(sandbox, "main", CREDIT)
    answer = ask(pair, pair.store.key(), n=2)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_account_fault")
    (row,) = pair.store.settled(1)
    assert (row["account"], row["state"], row["charged_requests"]) == ("main", "released", 0)
    assert check_bills(sandbox, pair.store) == {"main": 0, "spare": 0}


def test_a_new_key_is_taken_while_the_old_one_finishes_what_it_has(
    start_gateway: StartGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Upstream] = []

    def make(*values: Any) -> Upstream:
        made.append(Upstream(*values))
        return made[0]

    monkeypatch.setattr("app.main.Upstream", make)
    pair = start_gateway(sandbox.url, zenmux_api_key=None, zenmux_api_keys=KEYS, account_order="priority")
    key, upstream = pair.store.key(), made[0]
    with socket.create_connection(pair.socket.getsockname()) as running:
        body = json.dumps({**BODY, "prompt": "x [sandbox: delay=1s]"})
        head = (
            f"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key.text}\r\n"
            f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        running.sendall((head + body).encode())
        wait_until(lambda: any(row["dispatched_at_ms"] for row in pair.store.rows()), "the request is sent")
        main, spare = (account.spec for account in upstream.accounts.all)
        with pytest.raises(ValueError, match="same key"):
            upstream.replace_accounts([main, replace(spare, key=main.key)], AccountOrder.PRIORITY)
        upstream.replace_accounts([replace(main, key=SecretStr("sk-ai-v1-new")), spare], AccountOrder.PRIORITY)
        assert ask(pair, key).status_code == 200
        answer = b""
        while received := running.recv(65_536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 200")
    pair.store.settled(2)
    assert [len(bill_of(sandbox, name)) for name in ("main", "new", "spare")] == [1, 1, 0]


def test_what_an_operator_says_reaches_a_gateway_that_runs(pair: RunningGateway, sandbox: SandboxServer) -> None:
    operator, specs = Operator(pair.store.engine, utc_now, "test"), pair.settings.accounts
    wait_until(
        lambda: [each.processes_up for each in list_accounts(operator, specs)] == [1, 1], "it says what it knows"
    )
    rest_account(operator, specs, "main", None)
    wait_until(lambda: accounts_of(pair) == "1 of 2 up (main down, operator)", "main is out")
    assert ask(pair, pair.store.key()).status_code == 200
    resume_account(operator, specs, "main")
    wait_until(lambda: accounts_of(pair) == "2 of 2 up", "main is in again")
    assert ask(pair, pair.store.key()).status_code == 200
    assert check_bills(sandbox, pair.store) == {"main": 1, "spare": 1}


def test_each_account_is_compared_with_its_own_bill(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    keys = "main=sk-mg-of-main, spare=sk-mg-of-spare"
    gateway = start_gateway(
        sandbox.url, zenmux_api_key=None, zenmux_api_keys=KEYS, zenmux_management_keys=keys, account_order="weighted"
    )
    key = gateway.store.key()
    assert [ask(gateway, key).status_code for _ in range(3)] == [200] * 3
    gateway.store.settled(3)
    operator, today = Operator(gateway.store.engine, utc_now, "test"), utc_now().date()

    def verdicts() -> dict[str, Any]:
        bills = bills_to_compare(gateway.settings)
        days = [asyncio.run(reconcile_day(operator, today, load_catalog(), gateway.settings, bill)) for bill in bills]
        return {
            day["account"]: (day["verdict"], day["total"]["billed_requests"]) for day in days_json(days)["accounts"]
        }

    assert verdicts() == {"main": ("equal", 2), "spare": ("equal", 1)}
    # Somebody buys with the key of one account beside the gateway: the other's bill stays right.
    headers = {"authorization": "Bearer sk-ai-v1-spare"}
    assert httpx2.post(f"{sandbox.url}/images/generations", headers=headers, json=BODY, timeout=60).is_success
    assert verdicts() == {"main": ("equal", 2), "spare": ("drift", 2)}
    assert gateway.metric("zenmux_gateway_reconciliation_drift_usd", account="main") == 0
    assert gateway.metric("zenmux_gateway_reconciliation_drift_usd", account="spare") < 0
    assert bills_to_compare(gateway.settings, "spare") == [gateway.settings.accounts[1]]
