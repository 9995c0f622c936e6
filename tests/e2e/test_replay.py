"""Requests that are sent again buy nothing again: by Idempotency-Key, and by SDKs' own retries. The sandbox's bill is
the judge.
"""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import openai
import orjson
import pytest

from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.e2e.conftest import StartGateway
from tests.e2e.test_client_leaves import ask_and_leave
from tests.e2e.test_openai_node import run as run_node
from tests.servers import UPSTREAM_KEY, Key, RunningGateway, assert_bill_is_ledger, fetch_json

CHEAP: dict[str, Any] = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def key(gateway: RunningGateway) -> Key:
    return gateway.store.key()


def bought(sandbox: SandboxServer) -> int:
    return len(fetch_json(sandbox.bill_url)["generations"])


def send(
    gateway: RunningGateway, key: Key, prompt: str, *, headers: dict[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    body = {**CHEAP, "prompt": prompt, **fields}
    with httpx2.Client(timeout=60) as client:
        return client.post(
            f"{gateway.url}/images/generations",
            content=orjson.dumps(body),
            headers={"authorization": f"Bearer {key.text}", "content-type": "application/json", **(headers or {})},
        )


def keyed(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


RETRY = {"x-stainless-retry-count": "1"}


class TestIdempotencyKey:
    def test_the_stored_answer_comes_again_byte_for_byte(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        first = send(gateway, key, "a house", headers=keyed("k1"))
        again = send(gateway, key, "a house", headers=keyed("k1"))
        quoted = send(gateway, key, "a house", headers=keyed('"k1"'))
        assert (first.status_code, again.status_code, quoted.status_code) == (200, 200, 200)
        assert first.content == again.content == quoted.content
        assert "x-gateway-replayed" not in first.headers
        assert again.headers["x-gateway-replayed"] == "true"
        assert again.headers["content-length"] == first.headers["content-length"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        assert bought(sandbox) == 1
        assert len(gateway.store.rows()) == 1  # a replay is no record: it bought nothing
        assert gateway.metric("zenmux_gateway_replays_total") == 2
        assert_bill_is_ledger(gateway, sandbox)

    def test_twenty_at_once_buy_one_image_and_have_the_same_bytes(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda _: send(gateway, key, "a fox [sandbox: delay=500ms]", headers=keyed("k2")), range(20))
            )
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert sum("x-gateway-replayed" in answer.headers for answer in answers) == 19
        assert bought(sandbox) == 1
        assert_bill_is_ledger(gateway, sandbox)

    def test_a_stream_is_joined_and_replayed_with_its_events(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        def stream(_: int) -> httpx2.Response:
            prompt = "a tree [sandbox: gap=200ms]"
            return send(gateway, key, prompt, headers=keyed("k3"), stream=True, partial_images=2)

        with ThreadPoolExecutor(3) as pool:
            answers = [*pool.map(stream, range(3)), stream(0)]
        assert {answer.content for answer in answers} == {answers[0].content}
        assert answers[0].content.count(b"event: image_generation") == 3
        assert answers[3].headers["content-type"].startswith("text/event-stream")
        assert bought(sandbox) == 1
        assert_bill_is_ledger(gateway, sandbox)

    def test_another_request_under_the_key_is_refused(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        assert send(gateway, key, "a house", headers=keyed("k4")).status_code == 200
        other = send(gateway, key, "a tree", headers=keyed("k4"))
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reuse")
        assert other.headers["x-should-retry"] == "false"
        assert send(gateway, gateway.store.key(), "a tree", headers=keyed("k4")).status_code == 200
        assert bought(sandbox) == 2

    def test_a_key_that_is_none_is_refused(self, gateway: RunningGateway, key: Key) -> None:
        for written in ("", '""', "k" * 256, "k\tk"):
            refused = send(gateway, key, "a house", headers=keyed(written))
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_idempotency_key")

    def test_a_refusal_that_bought_nothing_is_not_stored(self, gateway: RunningGateway, sandbox: SandboxServer) -> None:
        key = gateway.store.key("images:1/day")
        assert send(gateway, key, "a house", headers=keyed("k5")).status_code == 200
        for _ in range(2):
            assert send(gateway, key, "a tree", headers=keyed("k6")).status_code == 429
        refused = send(gateway, gateway.store.key(), "a [sandbox: status=400]", headers=keyed("k7"))
        again = send(gateway, gateway.store.key(), "a [sandbox: status=400]", headers=keyed("k7"))
        assert (refused.status_code, again.status_code) == (400, 400)
        assert "x-gateway-replayed" not in again.headers
        assert_bill_is_ledger(gateway, sandbox)

    def test_a_failure_whose_outcome_is_unknown_is_stored(self, gateway: RunningGateway, key: Key) -> None:
        failed = send(gateway, key, "a house [sandbox: reset]", headers=keyed("k8"))
        again = send(gateway, key, "a house [sandbox: reset]", headers=keyed("k8"))
        assert (failed.status_code, again.status_code) == (502, 502)
        assert failed.content == again.content
        assert again.headers["x-gateway-replayed"] == "true"
        assert again.headers["x-should-retry"] == "false"
        assert len(gateway.store.settled()) == 1

    def test_an_answer_that_breaks_off_is_replayed_as_the_failure_it_was(
        self, gateway: RunningGateway, key: Key
    ) -> None:
        with pytest.raises(httpx2.RemoteProtocolError):
            send(gateway, key, "a house [sandbox: cut=0.5]", headers=keyed("k9"))
        again = send(gateway, key, "a house [sandbox: cut=0.5]", headers=keyed("k9"))
        assert (again.status_code, again.json()["error"]["code"]) == (502, "upstream_broken")
        assert len(gateway.store.settled()) == 1

    def test_a_restart_forgets_nothing(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        settings = Settings(
            _env_file=None, zenmux_api_key=UPSTREAM_KEY, zenmux_base_url=sandbox.url, data_dir=tmp_path / "data"
        )
        with RunningGateway(settings) as gateway:
            key = gateway.store.key()
            first = send(gateway, key, "a house", headers=keyed("k10"))
        with RunningGateway(settings) as gateway:
            again = send(gateway, key, "a house", headers=keyed("k10"))
            assert again.content == first.content
            assert again.headers["x-gateway-replayed"] == "true"
            assert bought(sandbox) == 1
            assert_bill_is_ledger(gateway, sandbox)


class TestRetries:
    def test_openai_python_gets_the_image_of_its_first_try(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        with openai.OpenAI(base_url=gateway.url, api_key=key.text, timeout=1.0, max_retries=2) as client:
            answer = client.images.with_raw_response.generate(prompt="a house [sandbox: delay=3s]", **CHEAP)
        assert answer.headers["x-gateway-replayed"] == "true"
        images = answer.parse()
        assert images.data is not None
        assert base64.b64decode(images.data[0].b64_json or "").startswith(PNG)
        assert bought(sandbox) == 1
        assert gateway.metric("zenmux_gateway_replays_total", kind="taken_over") == 1
        assert_bill_is_ledger(gateway, sandbox)

    @pytest.mark.parametrize("is_keyed", [False, True])
    @pytest.mark.parametrize("fault", ["cut=0.5", "reset"])
    def test_openai_python_buys_one_image_when_the_answer_breaks(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key, fault: str, *, is_keyed: bool
    ) -> None:
        with openai.OpenAI(base_url=gateway.url, api_key=key.text, max_retries=2) as client:
            if is_keyed:
                client._idempotency_header = "Idempotency-Key"  # as docs/retries.md says
            with pytest.raises(openai.InternalServerError, match="broke before its answer was whole"):
                client.images.generate(prompt=f"a house [sandbox: {fault}]", **CHEAP)
        assert bought(sandbox) == 1
        assert_bill_is_ledger(gateway, sandbox)

    def test_openai_python_joins_its_own_first_try_by_its_key(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        with openai.OpenAI(base_url=gateway.url, api_key=key.text, timeout=1.0, max_retries=3) as client:
            client._idempotency_header = "Idempotency-Key"
            images = client.images.generate(prompt="a house [sandbox: delay=3s]", **CHEAP)
            assert images.data
            client.images.generate(prompt="a house", **CHEAP)  # another call has another key: not 422
        assert gateway.metric("zenmux_gateway_replays_total", kind="taken_over") == 0
        assert bought(sandbox) == 2
        assert_bill_is_ledger(gateway, sandbox)

    def test_openai_node_gets_the_image_of_its_first_try(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        reported = run_node(gateway, key, "retry.mjs", prompt="a house [sandbox: delay=3s]")
        assert reported["error"] is None
        assert reported["result"]["images"][0]["begins"] == PNG.hex()
        assert bought(sandbox) == 1
        assert_bill_is_ledger(gateway, sandbox)

    @pytest.mark.parametrize("headers", [RETRY, {}])
    def test_an_undelivered_answer_is_had_by_the_next_equal_request_once(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key, headers: dict[str, str]
    ) -> None:
        ask_and_leave(gateway, sandbox, "a house [sandbox: delay=300ms]", key=key, after_bytes=0)
        gateway.store.settled(1)
        prompt = "a house [sandbox: delay=300ms]"
        taken = send(gateway, key, prompt, headers=headers, stream=False)
        assert taken.status_code == 200
        assert taken.headers["x-gateway-replayed"] == "true"
        assert bought(sandbox) == 1
        anew = send(gateway, key, prompt, headers=headers, stream=False)
        assert "x-gateway-replayed" not in anew.headers
        assert bought(sandbox) == 2
        assert_bill_is_ledger(gateway, sandbox)

    @pytest.mark.parametrize("number", range(5))
    def test_who_takes_over_a_running_attempt_ends_it_even_if_faster_than_the_attempt_itself(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key, number: int
    ) -> None:
        prompt = f"house {number} [sandbox: delay=200ms]"
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=0)
        assert "x-gateway-replayed" in send(gateway, key, prompt, headers=RETRY, stream=False).headers
        assert "x-gateway-replayed" not in send(gateway, key, prompt, headers=RETRY, stream=False).headers
        assert bought(sandbox) == 2
        assert_bill_is_ledger(gateway, sandbox)

    def test_an_answer_that_was_cut_in_the_middle_is_lost_once(
        self, gateway: RunningGateway, sandbox: SandboxServer, key: Key
    ) -> None:
        prompt = "a house [sandbox: body=20MB slow=4MB/s]"
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=100_000)
        gateway.store.settled(1)
        lost = send(gateway, key, prompt, headers=RETRY, stream=False)
        assert (lost.status_code, lost.json()["error"]["code"]) == (410, "answer_lost")
        assert lost.headers["x-should-retry"] == "false"
        assert gateway.store.rows()[0]["id"] in lost.json()["error"]["message"]
        assert bought(sandbox) == 1

    def test_an_answer_that_was_cut_in_the_middle_is_had_whole_where_all_are_kept(
        self, start_gateway: StartGateway, sandbox: SandboxServer
    ) -> None:
        gateway = start_gateway(sandbox.url, keep_answers="always")
        key, prompt = gateway.store.key(), "a house [sandbox: body=2MB slow=1MB/s]"
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=100_000)
        whole = send(gateway, key, prompt, headers=RETRY, stream=False)
        assert (whole.status_code, whole.headers["x-gateway-replayed"]) == (200, "true")
        assert base64.b64decode(whole.json()["data"][0]["b64_json"]).startswith(PNG)
        assert bought(sandbox) == 1
        assert_bill_is_ledger(gateway, sandbox)

    def test_where_joining_is_off_a_retry_buys_anew_and_a_key_still_holds(
        self, start_gateway: StartGateway, sandbox: SandboxServer
    ) -> None:
        gateway = start_gateway(sandbox.url, join_retries=False)
        key, prompt = gateway.store.key(), "a house [sandbox: delay=300ms]"
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=0)
        anew = send(gateway, key, prompt, headers=RETRY, stream=False)
        assert "x-gateway-replayed" not in anew.headers
        gateway.store.settled(2)
        assert bought(sandbox) == 2
        keyed_twice = [send(gateway, key, prompt, headers=keyed("k")) for _ in range(2)]
        assert keyed_twice[0].content == keyed_twice[1].content
        assert bought(sandbox) == 3
        assert_bill_is_ledger(gateway, sandbox)

    def test_an_equal_request_that_says_nothing_takes_over_for_as_long_as_is_set(
        self, start_gateway: StartGateway, sandbox: SandboxServer
    ) -> None:
        gateway = start_gateway(sandbox.url, join_abandoned_seconds=0)
        key, prompt = gateway.store.key(), "a house [sandbox: delay=300ms]"
        ask_and_leave(gateway, sandbox, prompt, key=key, after_bytes=0)
        gateway.store.settled(1)
        assert "x-gateway-replayed" not in send(gateway, key, prompt, stream=False).headers
        assert "x-gateway-replayed" in send(gateway, key, prompt, headers=RETRY, stream=False).headers
        assert bought(sandbox) == 2

    def test_a_stored_answer_is_had_for_as_long_as_is_set(
        self, start_gateway: StartGateway, sandbox: SandboxServer
    ) -> None:
        passed = [0.0]
        gateway = start_gateway(sandbox.url, lambda: utc_now() + timedelta(seconds=passed[0]), replay_seconds=3600)
        key = gateway.store.key()
        first = send(gateway, key, "a house", headers=keyed("k"))
        gateway.store.settled(1)
        passed[0] = 3590
        assert send(gateway, key, "a house", headers=keyed("k")).content == first.content
        passed[0] = 3700
        anew = send(gateway, key, "a house", headers=keyed("k"))
        assert (anew.status_code, "x-gateway-replayed" in anew.headers) == (200, False)
        assert bought(sandbox) == 2
        assert_bill_is_ledger(gateway, sandbox)

    def test_five_equal_requests_on_purpose_buy_five_though_one_is_refused_at_first(
        self, gateway: RunningGateway, sandbox: SandboxServer
    ) -> None:
        """A limit refuses the fifth while the four run; its SDK tries again, and waits for nobody's image."""
        key = gateway.store.key("concurrent:4")
        refused = threading.Event()

        def count(response: httpx2.Response) -> None:
            if response.status_code == 429:
                refused.set()

        with openai.OpenAI(
            base_url=gateway.url,
            api_key=key.text,
            max_retries=10,
            http_client=openai.DefaultHttpxClient(event_hooks={"response": [count]}),
        ) as client:

            def one(_: int) -> bool:
                answer = client.images.with_raw_response.generate(prompt="a house [sandbox: delay=2s]", **CHEAP)
                return "x-gateway-replayed" in answer.headers

            with ThreadPoolExecutor(5) as pool:
                replayed = list(pool.map(one, range(5)))
        assert refused.is_set()
        assert replayed == [False] * 5
        assert bought(sandbox) == 5
        assert_bill_is_ledger(gateway, sandbox)


def test_thirty_megabytes_are_replayed_whole(gateway: RunningGateway, sandbox: SandboxServer, key: Key) -> None:
    prompt = "a house [sandbox: body=30MB]"
    first = send(gateway, key, prompt, headers=keyed("big"))
    again = send(gateway, key, prompt, headers=keyed("big"))
    assert len(first.content) > 29_000_000
    assert first.content == again.content
    assert bought(sandbox) == 1
