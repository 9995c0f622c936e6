"""Requests that are sent again to another gateway, and after a kill -9: nothing is bought again."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from app.database.engine import reading
from app.quotas.ledger.liveness.heartbeat import overdue_at, store_now_ms
from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, Key, Store, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
RETRY = {"x-stainless-retry-count": "1"}
KEYED = {"Idempotency-Key": "order-1"}
_MORE = pytest.mark.long("gateways start, die and start; every run tries it with a key")
each_sort_of_retry = pytest.mark.parametrize(
    "headers",
    [KEYED, pytest.param(RETRY, marks=_MORE), pytest.param({}, marks=_MORE)],
    ids=["key", "retry", "nothing"],
)

StartPair = Callable[..., list[GatewayProcess]]


def send(gateway: GatewayProcess, key: Key, prompt: str, **headers: str) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.url}/images/generations",
        json={**BODY, "prompt": prompt},
        headers={"authorization": f"Bearer {key.text}", **headers},
        timeout=60,
    )


def code_of(answer: httpx2.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code


def send_until_it_ends(gateway: GatewayProcess, key: Key, prompt: str, **headers: str) -> httpx2.Response:
    """As a client that waits where it is asked to, but shorter."""
    deadline = time.monotonic() + 30
    while (answer := send(gateway, key, prompt, **headers)).status_code == 409:
        assert code_of(answer) == "idempotency_in_progress"
        assert 1 <= int(answer.headers["retry-after"]) <= 15
        assert "x-should-retry" not in answer.headers
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer


def bought(sandbox: SandboxServer) -> int:
    return len(fetch_json(sandbox.bill_url)["generations"])


def is_sent(store: Store) -> bool:
    return any(row["dispatched_at_ms"] for row in store.rows())


def is_anybody_overdue(store: Store) -> bool:
    with reading(store.engine) as connection:
        return bool(overdue_at(connection, store_now_ms(connection)))


@pytest.fixture
def start_pair(postgresql_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[StartPair]:
    """Two gateways on one PostgreSQL, with one folder for their files or with two."""
    with ExitStack() as stack:

        def start(*, is_shared: bool, **more: str) -> list[GatewayProcess]:
            settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.5", **more}
            folders = [tmp_path / ("data" if is_shared else f"data-{number}") for number in range(2)]
            return [stack.enter_context(GatewayProcess(folder, sandbox.url, **settings)) for folder in folders]

        yield start


@pytest.mark.parametrize("is_shared", [True, False])
def test_the_other_gateway_waits_and_then_gives_the_stored_answer_where_it_can_reach_it(
    start_pair: StartPair, sandbox: SandboxServer, *, is_shared: bool
) -> None:
    one, two = start_pair(is_shared=is_shared)
    key, prompt = one.store.key(), "a house [sandbox: delay=3s]"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, one, key, prompt, **KEYED)
        wait_until(lambda: is_sent(one.store), "it is sent")
        early = send(two, key, prompt, **KEYED)
        assert (early.status_code, code_of(early)) == (409, "idempotency_in_progress")
        again = send_until_it_ends(two, key, prompt, **KEYED)
        answer = first.result()
    assert answer.status_code == 200
    if is_shared:
        assert again.content == answer.content
        assert again.headers["x-gateway-replayed"] == "true"
    else:
        assert (again.status_code, code_of(again)) == (410, "answer_lost")
        assert answer.headers["x-request-id"] in again.json()["error"]["message"]
    assert send(one, key, prompt, **KEYED).content == answer.content
    assert bought(sandbox) == 1
    one.store.settled(1)
    assert one.store.findings(fetch_json(sandbox.bill_url)) == []


@pytest.mark.parametrize("headers", [{}, RETRY], ids=["nothing", "retry"])
def test_without_a_key_what_a_living_gateway_runs_is_waited_for_at_the_other(
    start_pair: StartPair, sandbox: SandboxServer, headers: dict[str, str]
) -> None:
    one, two = start_pair(is_shared=True)
    key, prompt = one.store.key(), "a house [sandbox: delay=3s]"
    with one.begin(key, prompt):
        wait_until(lambda: is_sent(one.store), "it is sent")
    wait_until(lambda: one.store.undelivered() == 1, "it is known that its caller is gone")
    early = send(two, key, prompt, **headers)
    assert (early.status_code, code_of(early)) == (409, "idempotency_in_progress")
    again = send_until_it_ends(two, key, prompt, **headers)
    assert (again.status_code, again.headers["x-gateway-replayed"]) == (200, "true")
    assert again.json()["data"][0]["b64_json"]
    assert bought(sandbox) == 1
    (row,) = one.store.settled(1)
    assert row["client_left"]
    assert one.store.findings(fetch_json(sandbox.bill_url)) == []


def test_twenty_at_once_over_two_gateways_buy_one(start_pair: StartPair, sandbox: SandboxServer) -> None:
    pair = start_pair(is_shared=True)
    key, prompt = pair[0].store.key(), "a fox [sandbox: delay=1s]"
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: send_until_it_ends(pair[number % 2], key, prompt, **KEYED), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert bought(sandbox) == 1


def kill_while_it_runs(gateway: GatewayProcess, key: Key, prompt: str, **headers: str) -> None:
    def leave() -> None:
        with suppress(httpx2.TransportError):
            send(gateway, key, prompt, **headers)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(leave)
        wait_until(lambda: is_sent(gateway.store), "it is sent")
        gateway.kill()


@each_sort_of_retry
def test_what_was_sent_before_a_kill_9_is_not_bought_again_after_a_start(
    sandbox: SandboxServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    prompt = "a house [sandbox: delay=1s]"
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key()
        kill_while_it_runs(gateway, key, prompt, **({} if headers is RETRY else headers))
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        again = send_until_it_ends(gateway, key, prompt, **headers)
        assert (again.status_code, code_of(again)) == (410, "answer_lost")
        wait_until(lambda: bought(sandbox) == 1, "the sandbox has billed it")
        gateway.store.settled(1)
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


@each_sort_of_retry
def test_what_a_killed_gateway_had_sent_is_not_bought_again_by_the_other(
    start_pair: StartPair, sandbox: SandboxServer, headers: dict[str, str]
) -> None:
    """Without a key it is known once the killed one has missed a beat: 409 until the sweep, then 410."""
    one, two = start_pair(is_shared=True, GATEWAY_HEARTBEAT_SECONDS="2")
    key, prompt = one.store.key(), "a house [sandbox: delay=1s]"
    kill_while_it_runs(one, key, prompt, **({} if headers is RETRY else headers))
    if headers is not KEYED:
        wait_until(lambda: is_anybody_overdue(two.store), "the killed one has missed a beat")
        assert [row["state"] for row in two.store.rows()] == ["pending"]  # and does not count as dead yet
    first = send(two, key, prompt, **headers)
    assert first.status_code == 409, first.text
    again = send_until_it_ends(two, key, prompt, **headers)
    assert (again.status_code, code_of(again)) == (410, "answer_lost")
    assert [row["state"] for row in two.store.rows()] == ["expired"]
    assert bought(sandbox) == 1
