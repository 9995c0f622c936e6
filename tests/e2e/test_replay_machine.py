"""Requests that are sent again, as a state machine: keys, bodies, callers that leave, evictions, restarts and time, in
any order. A model says what each request is answered with; the sandbox's bill is the judge of what was bought.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select

from app.database.engine import reading, writing
from app.database.schema.file_tables import files
from app.database.schema.replay_tables import attempts
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.e2e.test_client_leaves import asking, received
from tests.examples import examples
from tests.servers import UPSTREAM_KEY, RunningGateway, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
WHOLE = ("a house [sandbox: delay=100ms]", "a tree [sandbox: delay=100ms]")
LONG = "a fox [sandbox: body=3MB slow=20MB/s]"  # its caller leaves in the middle
BEGINNING_BYTES = 20_000
FAILING = "a cat [sandbox: reset]"
SECOND, MINUTE, HOUR = 1.0, 60.0, 3600.0
REPLAY_SECONDS, RETRY_SECONDS, ABANDONED_SECONDS = 24 * HOUR, 10 * MINUTE, MINUTE

prompts = st.sampled_from((*WHOLE, LONG))
idempotency_keys = st.sampled_from(("k1", "k2"))
counts = st.sampled_from((0, 1))


@dataclass
class Keyed:
    """What an Idempotency-Key stands for. `status` is what its first request was answered with."""

    prompt: str
    status: int
    content: bytes
    at: float
    is_gone: bool = False


@dataclass
class Undelivered:
    """What somebody may take over. `is_kept`: all of it is there."""

    at: float
    is_kept: bool
    is_gone: bool = False


class Machine(RuleBasedStateMachine):
    keep_answers = "needed"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.sandbox = SandboxServer().__enter__()
        self.now = 0.0
        self.bought = 0
        self.keyed: dict[str, Keyed] = {}
        self.undelivered: dict[str, list[Undelivered]] = {}
        self.start()
        self.key = self.gateway.store.key()

    def start(self) -> None:
        chosen: dict[str, Any] = {
            "zenmux_api_key": UPSTREAM_KEY,
            "zenmux_base_url": self.sandbox.url,
            "data_dir": self.folder / "data",
            "keep_answers": self.keep_answers,
        }
        made = Settings(_env_file=None, **chosen)
        self.gateway = RunningGateway(made, lambda: utc_now() + timedelta(seconds=self.now)).__enter__()

    def teardown(self) -> None:
        self.gateway.__exit__()
        self.sandbox.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    def send(self, prompt: str, count: int = 0, idempotency_key: str | None = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.key.text}", "x-stainless-retry-count": str(count)}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        body = {**BODY, "prompt": prompt, "stream": False}
        return httpx2.post(f"{self.gateway.url}/images/generations", json=body, headers=headers, timeout=60)

    def takeable(self, prompt: str, count: int) -> Undelivered | None:
        window = RETRY_SECONDS if count else ABANDONED_SECONDS
        found = [each for each in self.undelivered.get(prompt, ()) if self.now - each.at < window]
        return min(found, key=lambda each: (not each.is_kept, each.at), default=None)

    @rule(prompt=prompts, count=counts)
    def ask(self, prompt: str, count: int) -> None:
        """Without a key: what is undelivered, or a new image."""
        taken = self.takeable(prompt, count)
        answer = self.send(prompt, count)
        assert ("x-gateway-replayed" in answer.headers) == (taken is not None)
        if taken is None:
            self.bought += 1
            assert answer.status_code == 200
        else:
            self.undelivered[prompt].remove(taken)
            assert answer.status_code == (200 if taken.is_kept and not taken.is_gone else 410)

    @rule(prompt=prompts, idempotency_key=idempotency_keys, n=st.sampled_from((1, 1, 3)))
    def ask_with_a_key(self, prompt: str, idempotency_key: str, n: int) -> None:
        """Also several at once."""
        known = self.keyed.get(idempotency_key)
        if known is not None and self.now - known.at >= REPLAY_SECONDS:
            known = None
        with ThreadPoolExecutor(n) as pool:
            answers = list(pool.map(lambda _: self.send(prompt, idempotency_key=idempotency_key), range(n)))
        if known is None:
            self.bought += 1
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.content for answer in answers}) == 1
            assert sum("x-gateway-replayed" in answer.headers for answer in answers) == n - 1
            self.keyed[idempotency_key] = Keyed(prompt, 200, answers[0].content, self.now)
            return
        for answer in answers:
            if known.prompt != prompt:
                assert answer.status_code == 422
            elif known.is_gone:  # a failure is in memory, too
                assert answer.status_code in {410, known.status} - {200}
            else:
                assert (answer.status_code, answer.content) == (known.status, known.content)

    @rule(idempotency_key=idempotency_keys)
    def fail_with_a_key(self, idempotency_key: str) -> None:
        """Its caller cannot know that it was bought: the same failure again, and never a second try."""
        known = self.keyed.get(idempotency_key)
        if known is not None and self.now - known.at < REPLAY_SECONDS:
            return
        answer = self.send(FAILING, idempotency_key=idempotency_key)
        assert answer.status_code == 502
        self.bought += 1
        self.keyed[idempotency_key] = Keyed(FAILING, 502, answer.content, self.now)
        assert self.send(FAILING, idempotency_key=idempotency_key).content == answer.content

    @rule(idempotency_key=idempotency_keys)
    def ask_again(self, idempotency_key: str) -> None:
        known = self.keyed.get(idempotency_key)
        if known is not None and self.now - known.at < REPLAY_SECONDS:
            self.ask_with_a_key(known.prompt, idempotency_key, 1)

    @rule(prompt=prompts, count=counts, is_retried=st.booleans())
    def leave(self, prompt: str, count: int, *, is_retried: bool) -> None:
        """Before the first byte, or in the middle; then, perhaps, send it again."""
        if self.takeable(prompt, 0) is not None:
            self.ask(prompt, 0)
            return
        before = received(self.sandbox)
        with asking(self.gateway, self.key, prompt, stream=False) as connection:
            if prompt == LONG:
                count_bytes = 0
                while count_bytes < BEGINNING_BYTES:
                    count_bytes += len(connection.recv(BEGINNING_BYTES))
            else:
                wait_until(lambda: received(self.sandbox) > before, "it is sent")
        self.bought += 1
        is_kept = self.keep_answers == "always" or prompt != LONG
        self.undelivered.setdefault(prompt, []).append(Undelivered(self.now, is_kept))
        wait_until(self.is_noted, "the gateway has noticed it")
        if is_retried:  # mostly while it runs
            self.ask(prompt, count)

    def is_noted(self) -> bool:
        request_id = self.gateway.store.rows()[-1]["id"]
        query = select(attempts.c.undelivered_at_ms).where(attempts.c.request_id == request_id)
        with reading(self.gateway.store.engine) as connection:
            return connection.execute(query).scalar() is not None

    @rule(seconds=st.sampled_from((30 * SECOND, 61 * SECOND, 11 * MINUTE, 25 * HOUR)))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def evict(self) -> None:
        """Everything that is kept had to make room."""
        with writing(self.gateway.store.engine) as connection:
            connection.execute(delete(files))
        for path in self.gateway.settings.files_dir.iterdir():
            if not path.name.startswith("gateway-"):
                path.unlink()
        for known in self.keyed.values():
            known.is_gone = True
        for each in self.undelivered.values():
            for attempt in each:
                attempt.is_gone = True

    @rule()
    def restart(self) -> None:
        self.gateway.__exit__()
        self.start()

    @invariant()
    def what_was_bought_is_what_the_model_says(self) -> None:
        self.gateway.store.settled()
        bill = fetch_json(self.sandbox.bill_url)
        assert len(bill["generations"]) == self.bought
        assert self.gateway.store.findings(bill) == []


class KeepingMachine(Machine):
    keep_answers = "always"


@pytest.mark.long("a gateway is started again and again, and some requests take time")
@pytest.mark.timeout(900)  # 40 examples with HYPOTHESIS_PROFILE=full, of a few seconds each
@pytest.mark.parametrize("machine", [Machine, KeepingMachine])
def test_whatever_happens_nothing_is_bought_twice(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            phases=(Phase.generate,),  # shrinking would take minutes
            max_examples=examples(8),
            stateful_step_count=15,
            suppress_health_check=list(HealthCheck),
        ),
    )
