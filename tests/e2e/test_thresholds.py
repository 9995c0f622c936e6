"""Crossed thresholds, from a real purchase to a real receiver: logged, counted, signed, sent once, never lost."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2
import pytest

from app.database.clock import to_ms
from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.alerts.receiver import SECRET, Receiver, receiving
from tests.e2e.conftest import StartGateway
from tests.quotas.making import events
from tests.servers import UPSTREAM_KEY, GatewayProcess, Key, RunningGateway, Store, fetch_json, wait_until
from tests.stores import PostgresqlServer

BODY = {"model": "gpt-image-2", "prompt": "a house in the fog", "size": "1024x1024", "quality": "low"}


class MovableClock:
    """The real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def forward(self, **parts: float) -> None:
        self.ahead += timedelta(**parts)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def buy(gateway: RunningGateway | GatewayProcess, key: Key, **fields: object) -> None:
    headers = {"authorization": f"Bearer {key.text}"}
    answer = httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


def tries(store: Store) -> list[tuple[int, bool]]:
    """Of each event: how often it was tried, and whether it is still to be sent."""
    return [(event["tries"], event["next_try_at_ms"] is not None) for event in events(store.engine)]


def test_a_charge_is_logged_counted_and_sent(
    start_gateway: StartGateway, sandbox: SandboxServer, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = start_gateway(sandbox.url, webhook_url=receiver.url, webhook_secret=SECRET)
    key = gateway.store.key("images:2/day", user_limits=("usd:100/month",))
    buy(gateway, key)
    wait_until(lambda: gateway.metric("zenmux_gateway_webhooks_total", result="delivered") == 1, "it is delivered")
    (received,) = receiver.received
    assert received.is_signed
    data = received.event["data"]
    assert (data["limit"], data["scope"], data["scope_id"], data["percent"]) == ("images:2/day", "key", key.id, 50)
    assert (data["amount"], data["used"], data["shadow"]) == (2, 1, False)

    labels = {"scope": "key", "unit": "images", "window": "day", "shadow": "false"}
    assert gateway.metric("zenmux_gateway_threshold_events_total", **labels, percent="50") == 1
    (line,) = [record.__dict__ for record in caplog.records if record.message == "threshold_crossed"]
    assert data.items() <= line.items()

    buy(gateway, key)
    wait_until(lambda: len(receiver.received) == 3, "the other two are delivered")
    assert sorted(receiver.percents) == [50, 80, 100]
    secrets = (SECRET, UPSTREAM_KEY, key.text, str(BODY["prompt"]))
    assert not [secret for secret in secrets for received in receiver.received if secret in repr(received)]
    assert SECRET not in caplog.text
    assert receiver.url not in caplog.text
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_a_receiver_that_fails_twice_is_told_in_the_end(
    start_gateway: StartGateway, sandbox: SandboxServer, receiver: Receiver, clock: MovableClock
) -> None:
    """Each purchase crosses one threshold, and so wakes the sender; by then it is time for what failed before."""
    receiver.answers = [500, 503]
    gateway = start_gateway(
        sandbox.url, clock, thresholds_percent="100", webhook_url=receiver.url, webhook_secret=SECRET
    )
    keys = [gateway.store.key("images:1/day") for _ in range(3)]

    def stand(made: int, waiting: int) -> bool:
        """So many tries were made, and so many of the events wait for their next one, no longer under a lease."""
        longest_wait_end = to_ms(clock() + timedelta(seconds=35))  # after two failures; a lease lasts 60 seconds
        due = [event["next_try_at_ms"] for event in events(gateway.store.engine)]
        waits = [at for at in due if at is not None]
        return (
            sum(tried for tried, _ in tries(gateway.store)) == made
            and [at < longest_wait_end for at in waits] == [True] * waiting
        )

    for number, (made, waiting) in enumerate([(1, 1), (3, 1), (5, 0)]):
        buy(gateway, keys[number])
        wait_until(partial(stand, made, waiting), f"{made} tries were made")
        clock.forward(minutes=1)
    assert len(receiver.received) == 5
    assert len({received.event["id"] for received in receiver.received}) == 3
    assert all(received.is_signed for received in receiver.received)
    assert gateway.metric("zenmux_gateway_webhooks_total", result="failed") == 2
    assert gateway.metric("zenmux_gateway_webhooks_total", result="delivered") == 3


def test_two_gateways_on_one_database_send_each_event_once(
    start_gateway: StartGateway, sandbox: SandboxServer, receiver: Receiver, postgresql_server: PostgresqlServer
) -> None:
    url = postgresql_server.create(template="template_gateway")
    settings = {"database_url": url, "webhook_url": receiver.url, "webhook_secret": SECRET}
    first, second = start_gateway(sandbox.url, **settings), start_gateway(sandbox.url, **settings)
    key = first.store.key("images:10/day")
    for number in range(10):
        buy((first, second)[number % 2], key)
    first.store.settled(10)
    wait_until(lambda: tries(first.store) == [(1, False)] * 3, "all are delivered")
    assert sorted(receiver.percents) == [50, 80, 100]
    name = "zenmux_gateway_threshold_events_total"
    assert first.metric(name) + second.metric(name) == 3


def test_what_a_killed_process_was_sending_is_sent_by_the_next(
    tmp_path: Path, start_gateway: StartGateway, sandbox: SandboxServer, receiver: Receiver, clock: MovableClock
) -> None:
    receiver.may_answer.clear()
    settings = {
        "GATEWAY_WEBHOOK_URL": receiver.url,
        "GATEWAY_WEBHOOK_SECRET": SECRET,
        "GATEWAY_THRESHOLDS_PERCENT": "100",
    }
    with GatewayProcess(tmp_path / "data", sandbox.url, **settings) as process:
        buy(process, process.store.key("images:1/day"))  # the receiver hangs, and nobody waits for it
        wait_until(lambda: len(receiver.received) == 1, "the event is on its way")
        wait_until(lambda: "threshold_crossed" in process.log(), "the log's own thread has written it")
        process.kill()
        assert SECRET not in process.log()
    receiver.may_answer.set()
    clock.forward(minutes=2)  # the lease is over
    gateway = start_gateway(sandbox.url, clock, webhook_url=receiver.url, webhook_secret=SECRET)
    wait_until(lambda: tries(gateway.store) == [(2, False)], "the next process has sent it")
    assert len({received.event["id"] for received in receiver.received}) == 1


def test_a_shadow_limit_refuses_nothing_and_tells_everything(
    start_gateway: StartGateway, sandbox: SandboxServer, receiver: Receiver
) -> None:
    gateway = start_gateway(sandbox.url, webhook_url=receiver.url, webhook_secret=SECRET)
    key = gateway.store.key(shadow_limits=("images:1/day",))
    buy(gateway, key)
    buy(gateway, key, n=3)
    wait_until(lambda: len(receiver.received) == 3, "its thresholds are told")
    assert {received.event["data"]["shadow"] for received in receiver.received} == {True}
    # A request is counted a moment after its client has its answer.
    shadow_refusals = partial(gateway.metric, "zenmux_gateway_shadow_refusals_total", scope="key", unit="images")
    wait_until(lambda: shadow_refusals() == 1, "the second request is counted")
    assert gateway.metric("zenmux_gateway_threshold_events_total", shadow="true") == 3
    assert gateway.metric("zenmux_gateway_quota_used_ratio", shadow="true", name=key.id) == 4
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 2
