"""Jobs that are submitted twice, whose acceptance is lost, whose process or database or disk fails: one image, and no
answer lost that could be had."""

import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.exchange.jobs.rules import Job
from app.exchange.jobs.table import JobTable
from app.exchange.replay.records import AttemptRecords
from app.exchange.replay.rules import Ask, ReplayDecision
from app.files.store.draft import Draft
from app.quotas.ledger.attempts.rows import AttemptRow
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.e2e.test_client_leaves import received
from tests.e2e.test_jobs import ask, ended, post, submit
from tests.e2e.test_store_outage import Outage, Start, both_stores, kept_on_disk, outage, start
from tests.servers import GatewayProcess, Key, RunningGateway, assert_bill_is_ledger, fetch_json, wait_until

__all__ = ["outage", "start"]

KEYED = {"idempotency-key": "order-1"}
SLOW = "a house [sandbox: delay=1s]"
CUT = "a cut [sandbox: delay=2s]"
Decided = tuple[ReplayDecision, AttemptRow | None]
StartPair = Callable[..., list[GatewayProcess]]


class TestSubmittedAgain:
    def test_with_its_key_it_is_the_same_job(self, gateway: RunningGateway, sandbox: SandboxServer) -> None:
        key, url = gateway.store.key(), f"{gateway.url}/images/generations"
        headers = {**KEYED, "prefer": "respond-async"}
        answers = [post(url, key, headers, prompt=SLOW) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert [answer.headers.get("x-gateway-replayed") for answer in answers] == [None, "true", "true"]
        job = ended(gateway, key, answers[0].headers["location"])
        again = post(url, key, headers, prompt=SLOW)
        assert (again.status_code, again.json()["id"]) == (202, job["id"])
        waited = post(url, key, {**headers, "prefer": "respond-async, wait=20"}, prompt=SLOW)
        assert waited.json() == job["result"]
        assert post(url, key, KEYED, prompt=SLOW).json() == job["result"], "a call that waits has the job's answer"
        other = post(url, key, headers, prompt="another")
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reuse")
        assert_bill_is_ledger(gateway, sandbox, 1)

    def test_twenty_at_once_are_one_job(self, gateway: RunningGateway, sandbox: SandboxServer) -> None:
        key, url = gateway.store.key(), f"{gateway.url}/images/generations"
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda _: post(url, key, {**KEYED, "prefer": "respond-async"}, prompt=SLOW), range(20))
            )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        ended(gateway, key, answers[0].headers["location"])
        assert_bill_is_ledger(gateway, sandbox, 1)

    def test_without_a_key_two_are_two_jobs(self, gateway: RunningGateway, sandbox: SandboxServer) -> None:
        key = gateway.store.key()
        answers = [submit(gateway, key, prompt=SLOW) for _ in range(2)]
        assert len({answer.json()["id"] for answer in answers}) == 2
        for answer in answers:
            ended(gateway, key, answer.headers["location"])
        assert_bill_is_ledger(gateway, sandbox, 2)

    def test_a_call_that_waits_can_be_had_as_a_job(self, gateway: RunningGateway, sandbox: SandboxServer) -> None:
        key, url = gateway.store.key(), f"{gateway.url}/images/generations"
        direct = post(url, key, KEYED)
        made = post(url, key, {**KEYED, "prefer": "respond-async"})
        assert (made.status_code, made.headers["x-gateway-replayed"]) == (202, "true")
        job = ended(gateway, key, made.headers["location"])
        assert (job["status"], job["result"]) == ("completed", direct.json())
        assert job["request_id"] == direct.headers["x-request-id"]
        assert_bill_is_ledger(gateway, sandbox, 1)

    def test_whose_acceptance_was_lost_it_is_the_same_job(
        self, gateway: RunningGateway, sandbox: SandboxServer
    ) -> None:
        """The caller waits for the whole answer, and is cut off."""
        key = gateway.store.key()
        with submitting(gateway, key, prompt=CUT):
            wait_until(lambda: received(sandbox) > 0, "it is sent")
            wait_until(lambda: listed(gateway, key) != [], "it is listed")
        (job_id,) = listed(gateway, key)
        again = submit(gateway, key, prompt=CUT)
        assert (again.status_code, again.headers["x-gateway-replayed"]) == (202, "true")
        assert again.json()["id"] == job_id
        assert ended(gateway, key, again.headers["location"])["status"] == "completed"
        assert_bill_is_ledger(gateway, sandbox, 1)

    def test_whose_caller_left_before_it_was_listed_it_is_the_same_job(
        self, gateway: RunningGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is sent while its row is being written, which takes its time on a slow disk."""
        adding, may_add, decided = threading.Event(), threading.Event(), threading.Event()
        add, decide = JobTable.add, AttemptRecords.decide

        def add_slowly(table: JobTable, job: Job, now_ms: int) -> bool:
            adding.set()
            assert may_add.wait(20)
            return add(table, job, now_ms)

        async def decide_and_tell(records: AttemptRecords, ask: Ask, now_ms: int) -> Decided:
            result = await decide(records, ask, now_ms)
            if adding.is_set():
                decided.set()
            return result

        monkeypatch.setattr(JobTable, "add", add_slowly)
        monkeypatch.setattr(AttemptRecords, "decide", decide_and_tell)
        key = gateway.store.key()
        with submitting(gateway, key, prompt=CUT):
            wait_until(lambda: received(sandbox) > 0 and adding.is_set(), "it is sent, and its row is being written")
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(submit, gateway, key, prompt=CUT)
            assert decided.wait(20)
            assert listed(gateway, key) == []
            may_add.set()
            again = second.result()
        assert (again.status_code, again.headers["x-gateway-replayed"]) == (202, "true")
        assert ended(gateway, key, again.headers["location"])["status"] == "completed"
        assert_bill_is_ledger(gateway, sandbox, 1)


@contextmanager
def submitting(gateway: RunningGateway, key: Key, prompt: str) -> Iterator[None]:
    """A submission that waits for its job is on its way; at the end its connection is cut."""
    body = json.dumps({"model": "gpt-image-2", "prompt": prompt, "size": "1024x1024", "quality": "low"}).encode()
    with socket.create_connection(gateway.socket.getsockname()[:2]) as connection:
        connection.sendall(
            b"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\nprefer: respond-async, wait=30\r\ncontent-length: %d\r\n\r\n"
            % (key.text.encode(), len(body))
            + body
        )
        yield


def listed(gateway: RunningGateway, key: Key) -> list[str]:
    return [job["id"] for job in ask(gateway, key, "/v1/images/jobs").json()["data"]]


class TestFailures:
    def test_a_kill_9_before_it_is_sent_buys_nothing(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        """Nobody accepts its connection until then."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(silent.getsockname())
            with GatewayProcess(tmp_path / "data", f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1") as first:
                key = first.store.key("images:1/day")
                path = submit(first, key).headers["location"]
                assert ask(first, key, path).json()["status"] == "in_progress"
                first.kill()
            for filler in fillers:
                filler.close()
        with GatewayProcess(tmp_path / "data", sandbox.url) as second:
            job = ended(second, key, path)
            assert (job["status"], job["error"]["code"]) == ("failed", "server_is_stopping")
            result = ask(second, key, f"{path}/result")
            assert result.status_code == 503
            (row,) = second.store.settled(1)
            assert (row["state"], row["charged_nanousd"]) == ("expired", 0)
            assert submit(second, key, "respond-async, wait=30").status_code == 200, "the limit has room again"
            assert_bill_is_ledger(second, sandbox, 1)

    @both_stores
    def test_a_database_that_is_away_at_its_end_is_waited_for(
        self, start: Start, outage: Outage, sandbox: SandboxServer
    ) -> None:
        with start() as gateway:
            key = gateway.store.key()
            path = submit(gateway, key, prompt="a house [sandbox: delay=2s]").headers["location"]
            wait_until(lambda: received(sandbox) > 0, "it is sent")
            outage.begin()
            wait_until(lambda: bool(fetch_json(sandbox.bill_url)["generations"]), "the image is there")
            wait_until(lambda: kept_on_disk(gateway) == 1, "its settlement could not be written")
            outage.end()
            job = ended(gateway, key, path)
            assert job["status"] == "completed", job
            assert_bill_is_ledger(gateway, sandbox, 1)

    def test_a_disk_that_takes_no_answer_leaves_an_error_that_says_so(
        self, gateway: RunningGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = gateway.store.key()
        path = submit(gateway, key, prompt=SLOW).headers["location"]

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Draft, "append", fail)
        job = ended(gateway, key, path)
        assert (job["status"], job["error"]["code"]) == ("failed", "answer_lost")
        assert job["request_id"] in job["error"]["message"]
        assert ask(gateway, key, f"{path}/result").status_code == 410
        assert_bill_is_ledger(gateway, sandbox, 1)

    @pytest.mark.parametrize("headers", [{}, KEYED])
    def test_a_disk_that_is_full_refuses_before_buying(
        self,
        gateway: RunningGateway,
        sandbox: SandboxServer,
        monkeypatch: pytest.MonkeyPatch,
        headers: dict[str, str],
    ) -> None:
        """It took files a moment ago."""
        key, url = gateway.store.key(), f"{gateway.url}/images/generations"
        prefer = {"prefer": "respond-async, wait=50"}
        assert post(url, key, prefer).status_code == 200
        usual = os.statvfs("/")
        nearly_full = os.statvfs_result([*usual[:4], 10, *usual[5:]])
        with monkeypatch.context() as full:
            full.setattr("app.files.store.folder.os.statvfs", lambda _: nearly_full)
            refused = post(url, key, {**prefer, **headers}, prompt=SLOW)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "files_unavailable")
        assert "retry-after" in refused.headers
        assert_bill_is_ledger(gateway, sandbox, 1)
        assert post(url, key, {**prefer, **headers}, prompt=SLOW).status_code == 200, "the disk has room again"
        assert_bill_is_ledger(gateway, sandbox, 2)
        assert list(gateway.settings.files_dir.glob("*.part")) == []

    def test_an_answer_that_had_to_make_room_says_so(self, start_gateway: StartGateway, sandbox: SandboxServer) -> None:
        gateway = start_gateway(sandbox.url, files_bytes_max=1_500_000)
        key = gateway.store.key()
        paths = [submit(gateway, key, "respond-async, wait=50", prompt=f"{n} [sandbox: body=1MB]") for n in range(2)]
        assert [each.status_code for each in paths] == [200, 200]
        newest, oldest = ask(gateway, key, "/v1/images/jobs").json()["data"]
        assert ask(gateway, key, newest["poll_url"]).json()["result"] is not None
        gone = ask(gateway, key, oldest["poll_url"]).json()
        assert (gone["status"], gone["result"], gone["error"]["code"]) == ("completed", None, "file_gone")
        assert ask(gateway, key, f"{oldest['poll_url']}/result").status_code == 410
        assert_bill_is_ledger(gateway, sandbox, 2)

    def test_of_each_user_so_many_jobs_are_kept(self, start_gateway: StartGateway, sandbox: SandboxServer) -> None:
        gateway = start_gateway(sandbox.url, user_jobs_max=2)
        key, other = gateway.store.key(), gateway.store.key(user="bob")
        kept = submit(gateway, other).headers["location"]
        made = [submit(gateway, key).headers["location"] for _ in range(3) if ended(gateway, other, kept)]
        for path in made:
            if ask(gateway, key, path).status_code == 200:
                ended(gateway, key, path)
        submit(gateway, key, "respond-async, wait=50")
        assert len(ask(gateway, key, "/v1/images/jobs").json()["data"]) == 2
        assert ask(gateway, other, kept).status_code == 200


class TestTwoGateways:
    def test_one_shows_what_the_other_runs(self, postgresql_url: str, sandbox: SandboxServer, tmp_path: Path) -> None:
        settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.5"}
        with (
            GatewayProcess(tmp_path / "data", sandbox.url, **settings) as one,
            GatewayProcess(tmp_path / "data", sandbox.url, **settings) as two,
        ):
            key = one.store.key()
            headers = {**KEYED, "prefer": "respond-async"}
            made = post(f"{one.url}/images/generations", key, headers, prompt="a house [sandbox: delay=3s]")
            path = made.headers["location"]
            assert ask(two, key, path).json()["status"] == "in_progress"
            again = post(f"{two.url}/images/generations", key, headers, prompt="a house [sandbox: delay=3s]")
            assert (again.status_code, again.json()["id"]) == (202, made.json()["id"])
            job = ended(two, key, path)
            assert job["status"] == "completed"
            assert ask(one, key, f"{path}/result").json() == job["result"]
            assert ask(two, key, path, "DELETE").json()["deleted"]
            assert ask(one, key, path).status_code == 404
            assert_bill_is_ledger(one, sandbox, 1)

    @pytest.mark.long("two gateways, one of which is found dead after a while")
    def test_what_one_ran_when_it_was_killed_is_incomplete_at_the_other(
        self, postgresql_url: str, sandbox: SandboxServer, tmp_path: Path
    ) -> None:
        settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.5"}
        with (
            GatewayProcess(tmp_path / "data", sandbox.url, **settings) as one,
            GatewayProcess(tmp_path / "data", sandbox.url, **settings) as two,
        ):
            key = one.store.key()
            path = submit(one, key, prompt="a house [sandbox: delay=60s]").headers["location"]
            wait_until(lambda: received(sandbox) > 0, "it is sent")
            one.kill()
            assert ended(two, key, path)["status"] == "incomplete"
            assert two.store.findings() == []

    def test_where_files_are_not_shared_jobs_are_refused(
        self, postgresql_url: str, sandbox: SandboxServer, tmp_path: Path
    ) -> None:
        settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.5"}
        with (
            GatewayProcess(tmp_path / "one", sandbox.url, **settings) as one,
            GatewayProcess(tmp_path / "two", sandbox.url, **settings) as two,
        ):
            key = one.store.key()
            answer = submit(two, key)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "files_unavailable")
            assert "GATEWAY_FILES_URL" in answer.json()["error"]["message"]
            assert_bill_is_ledger(two, sandbox, 0)
