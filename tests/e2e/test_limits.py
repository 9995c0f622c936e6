"""Nobody passes a limit, however many ask at once; the judge is the sandbox's bill."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli.main import app as cli
from app.cli.terminal.output import Terminal
from app.database.changes import Change
from app.database.engine import writing
from app.main import utc_now
from app.quotas.limits.manage import set_limit
from app.quotas.rules.limits import Scope, parse_limit
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.servers import Key, RunningGateway, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}


def ask(gateway: RunningGateway, key: Key, **fields: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=60)


@pytest.mark.parametrize("limit", ["images:10/day", "requests:10/month", "images:10/total"])
def test_fifty_at_once_against_a_limit_of_ten_buy_exactly_ten(
    gateway: RunningGateway, sandbox: SandboxServer, limit: str
) -> None:
    key = gateway.store.key(limit)
    start = threading.Barrier(50)

    def one(_: int) -> int:
        start.wait()
        return ask(gateway, key).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(one, range(50)))
    assert sorted(statuses) == [200] * 10 + [429] * 40
    bill = fetch_json(sandbox.bill_url)
    assert len(bill["generations"]) == 10
    assert len(gateway.store.settled()) == 10
    assert gateway.store.findings(bill) == []


@pytest.mark.parametrize(
    ("directive", "counts"),
    [("moderation", True), ("status=429", True), ("status=402", False), ("status=403 type=access_denied", False)],
)
@pytest.mark.parametrize("window", ["minute", "day"])
def test_a_request_limit_counts_what_was_sent_and_refused(
    gateway: RunningGateway, sandbox: SandboxServer, directive: str, counts: bool, window: str
) -> None:
    """But not what is the fault of our own account; and no other limit counts either."""
    key = gateway.store.key(f"requests:2/{window}", "images:1/day", "concurrent:1")
    prompt = f"a house [sandbox: {directive}]"
    statuses = [ask(gateway, key, prompt=prompt).status_code for _ in range(4)]
    assert 429 not in statuses[:2] or directive == "status=429"
    gateway.store.settled(2 if counts else 4)
    last = ask(gateway, key)
    assert last.status_code == (429 if counts else 200)
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_one_users_keys_share_the_users_limit(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    first = gateway.store.key(user_limits=("images:3/day",))
    second = gateway.store.key()
    statuses = [ask(gateway, key).status_code for key in (first, second, first, second)]
    assert statuses == [200, 200, 200, 429]
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 3


def test_over_a_waiting_connection_a_request_counts_as_dispatched_from_its_reservation_on(
    start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    began, looks = utc_now(), count()
    # No two looks at this clock tell the same time: only one and the same look can have given two equal ones.
    gateway = start_gateway(sandbox.url, lambda: began + timedelta(milliseconds=next(looks)))
    key = gateway.store.key("images:2/day")
    assert [ask(gateway, key).status_code for _ in range(5)] == [200, 200, 429, 429, 429]
    first, second = gateway.store.settled(2)
    assert first["dispatched_at_ms"] > first["reserved_at_ms"]  # no connection waited yet
    assert second["dispatched_at_ms"] == second["reserved_at_ms"]
    # Those that were refused gave it back: the next one still finds it.
    assert ask(gateway, gateway.store.key()).status_code == 200
    third = gateway.store.settled(3)[2]
    assert third["dispatched_at_ms"] == third["reserved_at_ms"]
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_money_is_held_at_its_worst_case(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    """High quality costs 0.21 dollars: 0.30 holds one of them, but not two at a time."""
    key = gateway.store.key("usd:0.30/month")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(gateway, key, quality="high", prompt="[sandbox: delay=2s]"), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    told = refused.json()["error"]
    assert told["code"] == "insufficient_quota"
    assert "usd:0.30/month" in told["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 1


def test_concurrency_is_refused_with_a_short_wait_and_free_again_at_once(
    gateway: RunningGateway, sandbox: SandboxServer
) -> None:
    key = gateway.store.key("concurrent:1")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(gateway, key, prompt="a [sandbox: delay=2s]"), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    # One after the other, each sent the moment the last one ended: none may find the place still taken.
    assert [ask(gateway, key).status_code for _ in range(5)] == [200] * 5


def test_a_rate_tells_what_remains(gateway: RunningGateway) -> None:
    key = gateway.store.key("requests:5/minute")
    answer = ask(gateway, key)
    assert answer.headers["x-ratelimit-limit-requests"] == "5"
    assert answer.headers["x-ratelimit-remaining-requests"] == "4"


def test_what_was_refused_upstream_is_given_back(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key("images:1/day")
    assert ask(gateway, key, prompt="[sandbox: status=422]").status_code >= 400
    gateway.store.settled(1)
    assert ask(gateway, key).status_code == 200
    assert ask(gateway, key).status_code == 429


def test_usage_shows_a_caller_their_limits(gateway: RunningGateway) -> None:
    key = gateway.store.key("images:10/day", user_limits=("usd:5/month",))
    assert ask(gateway, key, n=2).status_code == 200
    gateway.store.settled(1)
    told = fetch_json(f"{gateway.url}/usage", key.text)
    images, usd = sorted(told["limits"], key=lambda limit: limit["unit"])
    assert (images["limit"], images["scope"], images["used"], images["left"]) == ("images:10/day", "key", 2, 8)
    assert (usd["limit"], usd["scope"]) == ("usd:5.00/month", "user")
    assert usd["resets_at"] is not None


def test_of_the_gateways_own_limits_callers_see_the_share_that_is_used(gateway: RunningGateway) -> None:
    change = Change("test", utc_now(), lambda: "unused")
    with writing(gateway.store.engine) as connection:
        set_limit(connection, parse_limit("images:8/week").on(Scope.GATEWAY), change=change)
    assert ask(gateway, gateway.store.key(user="bob"), n=2).status_code == 200
    gateway.store.settled(1)
    (shown,) = fetch_json(f"{gateway.url}/usage", gateway.store.key().text)["limits"]
    assert (shown["limit"], shown["scope"], shown["used_ratio"]) == ("images/week", "gateway", 0.25)
    assert [shown[name] for name in ("amount", "used", "pending", "left")] == [None] * 4


def test_usage_lists_exactly_what_applies_and_agrees_with_explain(
    start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    """While one request is under way and one has ended: used, pending and left of each, and when it resets."""
    gateway = start_gateway(sandbox.url, usage_shows_gateway=True)
    model = "openai/gpt-image-2"
    limits = ("images:10/day", "concurrent:5", f"images:9/total@{model}", "images:8/day@openai/gpt-image-1.5")
    key = gateway.store.key(
        *limits, user_limits=("requests:4/week",), shadow_limits=("images:1/month",), models=(model,)
    )
    gateway.store.key("images:77/day", user="bob", user_limits=("images:66/day",))  # somebody else's
    change = Change("test", utc_now(), lambda: "unused")
    with writing(gateway.store.engine) as connection:
        for scope, written in ((Scope.GATEWAY, "tokens:1000000/week"), (Scope.DEFAULT, "images:55/day")):
            set_limit(connection, parse_limit(written).on(scope), change=change)
    assert ask(gateway, key, n=2).status_code == 200
    gateway.store.settled(1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, gateway, key, n=3, prompt="[sandbox: delay=2s]")
        wait_until(lambda: len(gateway.store.rows()) == 2, "the second request is under way")
        told = fetch_json(f"{gateway.url}/usage", key.text)
        assert running.result().status_code == 200
    assert (told["key"]["id"], told["user"], told["team"]) == (key.id, "alice", None)
    stand = {
        each["limit"]: (each["scope"], each["shadow"], each["used"], each["pending"], each["left"])
        for each in told["limits"]
    }
    tokens = stand.pop("tokens:1000000/week")
    assert tokens[:2] == ("gateway", False)
    assert tokens[2] + tokens[4] == 1_000_000
    assert tokens[2] > tokens[3] > 0
    assert stand == {
        "images:10/day": ("key", False, 5, 3, 5),
        "concurrent:5": ("key", False, 1, 1, 4),
        f"images:9/total@{model}": ("key", False, 5, 3, 4),
        "images:1/month": ("key", True, 5, 3, 0),
        "requests:4/week": ("user", False, 2, 1, 2),
    }
    models = {each["limit"]: each["model"] for each in told["limits"]}
    assert {limit for limit, of in models.items() if of} == {f"images:9/total@{model}"}
    resets = {each["window"]: each["resets_at"] for each in told["limits"]}
    assert resets["total"] is resets["now"] is None
    assert all(resets[window] > utc_now().isoformat() for window in ("day", "week", "month"))
    terminal = Terminal(clock=utc_now, actor="test")
    shown = CliRunner().invoke(
        cli,
        ["limits", "explain", "--key", key.id, "--json"],
        obj=terminal,
        env={"GATEWAY_DATA_DIR": str(gateway.settings.data_dir)},
    )
    explained, usage = json.loads(shown.stdout), told["limits"]
    assert [each["limit"] for each in explained] == [each["limit"] for each in usage]
    assert [each.keys() for each in explained] == [each.keys() for each in usage]
