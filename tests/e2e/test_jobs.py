"""Jobs: requests whose callers do not wait. Bought once, seen by their owner alone, and never run again."""

import base64
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.e2e.test_client_leaves import received
from tests.image_files import image_file
from tests.servers import GatewayProcess, Key, RunningGateway, assert_bill_is_ledger, wait_until

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}
ASYNC = {"prefer": "respond-async"}
JOBS = "/v1/images/jobs"
PNG = b"\x89PNG\r\n\x1a\n"


def post(url: str, key: Key, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}", **(headers or {})}
    return httpx2.post(url, json={**BODY, **fields}, headers=headers, timeout=90)


def submit(gateway: RunningGateway | GatewayProcess, key: Key, prefer: str = "respond-async", **fields: Any) -> Any:
    return post(f"{gateway.url}/images/generations", key, {"prefer": prefer}, **fields)


def ask(gateway: RunningGateway | GatewayProcess, key: Key, path: str, method: str = "GET") -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.request(method, f"{gateway.root}{path}", headers=headers, timeout=60)


def ended(gateway: RunningGateway | GatewayProcess, key: Key, path: str) -> dict[str, Any]:
    """The job, once it is not in progress any more."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(ask(gateway, key, path).json())
        return found["status"] not in ("in_progress", "processing")

    wait_until(is_over, "the job has ended", 60)
    return found


def test_a_job_from_its_submission_to_its_answer(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key("images:9/day")
    answer = submit(gateway, key, prompt="a house [sandbox: delay=1s]", style="vivid")
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/images/jobs/{job['id']}" == job["poll_url"]
    assert answer.headers["preference-applied"] == "respond-async"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-request-id"] == job["request_id"]
    assert answer.headers["x-gateway-normalized"] == "style=dropped"
    assert (job["object"], job["status"], job["result"], job["error"]) == ("image.job", "in_progress", None, None)
    assert job["expires_at"] - job["created_at"] == 86_400
    (row,) = gateway.store.rows()
    assert (row["id"], row["state"]) == (job["request_id"], "pending"), "the hold is taken at submission"
    assert ask(gateway, key, f"{answer.headers['location']}/result").status_code == 202
    done = ended(gateway, key, answer.headers["location"])
    assert done["status"] == "completed"
    assert base64.b64decode(done["result"]["data"][0]["b64_json"]).startswith(PNG)
    bare = ask(gateway, key, f"{job['poll_url']}/result")
    assert (bare.status_code, bare.headers["content-type"]) == (200, "application/json")
    assert bare.json() == done["result"]
    assert int(bare.headers["content-length"]) == len(bare.content)
    assert_bill_is_ledger(gateway, sandbox, 1)
    assert gateway.metric("zenmux_gateway_requests_total", outcome="completed") == 1
    assert gateway.metric("zenmux_gateway_jobs", state="completed") == 1
    assert gateway.metric("zenmux_gateway_jobs", state="in_progress") == 0


def test_an_edit_as_a_job(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, files = gateway.store.key(), [("image", ("a.png", image_file((64, 64), "PNG"), "image/png"))]
    headers = {"authorization": f"Bearer {key.text}", **ASYNC}
    answer = httpx2.post(f"{gateway.url}/images/edits", data=BODY, files=files, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    done = ended(gateway, key, answer.headers["location"])
    assert (done["status"], done["operation"]) == ("completed", "edit")
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []
    gateway.store.settled(1)


def test_whoever_waits_long_enough_has_the_whole_answer(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key()
    answer = submit(gateway, key, "respond-async, wait=50")
    assert answer.status_code == 200
    assert base64.b64decode(answer.json()["data"][0]["b64_json"]).startswith(PNG)
    assert answer.headers["preference-applied"] == "respond-async, wait=50"
    late = submit(gateway, key, "wait=1, respond-async", prompt="a house [sandbox: delay=3s]")
    assert late.status_code == 202
    assert ended(gateway, key, late.headers["location"])["status"] == "completed"
    assert_bill_is_ledger(gateway, sandbox, 2)


def test_a_failure_is_the_error_of_the_direct_call(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, prompt = gateway.store.key(), "a house [sandbox: moderation]"
    direct = post(f"{gateway.url}/images/generations", key, prompt=prompt)
    waited = submit(gateway, key, "respond-async, wait=50", prompt=prompt)
    job = ended(gateway, key, submit(gateway, key, prompt=prompt).headers["location"])
    result = ask(gateway, key, f"{job['poll_url']}/result")
    assert (job["status"], job["result"]) == ("failed", None)
    assert direct.json()["error"] == waited.json()["error"] == job["error"] == result.json()["error"]
    assert direct.status_code == waited.status_code == result.status_code == 400
    assert_bill_is_ledger(gateway, sandbox, 0)


@pytest.mark.parametrize(
    ("fields", "limit", "status"), [({"n": 11}, "images:9/day", 400), ({"stream": True}, "images:9/day", 400),
                                    ({}, "images:0/day", 429)]
)  # fmt: skip
def test_what_is_refused_is_no_job(
    gateway: RunningGateway, sandbox: SandboxServer, fields: dict[str, Any], limit: str, status: int
) -> None:
    key = gateway.store.key(limit)
    answer = submit(gateway, key, **fields)
    assert answer.status_code == status, answer.text
    assert ask(gateway, key, "/v1/images/jobs").json()["data"] == []
    assert_bill_is_ledger(gateway, sandbox, 0)


def test_a_job_is_its_users_alone(gateway: RunningGateway) -> None:
    mine, also_mine, other = gateway.store.key(), gateway.store.key(), gateway.store.key(user="bob")
    path = submit(gateway, mine).headers["location"]
    ended(gateway, also_mine, path)
    for each in (path, f"{path}/result", path.replace("/jobs/", "/tasks/"), f"{JOBS}/job_none", f"{JOBS}/%00"):
        refused = ask(gateway, other, each)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "job_not_found")
    assert ask(gateway, other, path, "DELETE").status_code == 404
    assert ask(gateway, other, "/v1/images/jobs").json()["data"] == []
    assert httpx2.get(f"{gateway.root}{path}").status_code == 401
    assert ask(gateway, mine, f"{path}/result").status_code == 200


def test_a_list_of_jobs_goes_page_by_page(gateway: RunningGateway) -> None:
    key = gateway.store.key()
    for _ in range(3):
        submit(gateway, key, "respond-async, wait=50")
    first = ask(gateway, key, "/v1/images/jobs?limit=2").json()
    assert (len(first["data"]), first["has_more"]) == (2, True)
    second = ask(gateway, key, f"/v1/images/jobs?limit=2&after={first['last_id']}").json()
    assert (len(second["data"]), second["has_more"]) == (1, False)
    times = [job["created_at"] for job in (*first["data"], *second["data"])]
    assert times == sorted(times, reverse=True)
    for query in ("limit=0", "limit=1e1", "after=%00", "after=job_%F0%9F%98%80"):
        assert ask(gateway, key, f"/v1/images/jobs?{query}").status_code == 400
    assert ask(gateway, key, "/v1/images/jobs?after=job_none").json()["data"] == []


def test_a_deleted_job_is_forgotten_and_its_image_charged(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key()
    done = submit(gateway, key)
    path = done.headers["location"]
    ended(gateway, key, path)
    assert ask(gateway, key, path, "DELETE").json() == {
        "id": done.json()["id"], "object": "image.job.deleted", "deleted": True,
    }  # fmt: skip
    assert ask(gateway, key, path).status_code == 404
    running = submit(gateway, key, prompt="a house [sandbox: delay=1s]").headers["location"]
    wait_until(lambda: received(sandbox) == 2, "it is sent")
    assert ask(gateway, key, running, "DELETE").json()["deleted"]
    assert ask(gateway, key, running).status_code == 404
    assert_bill_is_ledger(gateway, sandbox, 2)
    wait_until(lambda: not list((gateway.settings.data_dir / "files").glob("*answer*")), "its file is gone")


@contextmanager
def silent_upstream() -> Iterator[str]:
    """A ZenMux that accepts no connection: whatever is for it waits before its first byte."""
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):  # they fill the queue of the socket, so that the next one waits
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"


def test_a_job_that_is_not_sent_yet_is_cancelled(start_gateway: StartGateway) -> None:
    with silent_upstream() as url:
        gateway = start_gateway(url)
        key = gateway.store.key("images:1/day")
        path = submit(gateway, key).headers["location"]
        cancelled = ask(gateway, key, path, "DELETE")
        assert cancelled.json()["status"] == "cancelled", cancelled.text
        (row,) = gateway.store.settled(1)
        assert (row["state"], row["charged_nanousd"]) == ("released", 0)
        assert ask(gateway, key, f"{path}/result").status_code == 410


def test_links_in_a_job(gateway: RunningGateway) -> None:
    key = gateway.store.key()
    job = ended(gateway, key, submit(gateway, key, response_format="url").headers["location"])
    url = job["result"]["data"][0]["url"]
    assert httpx2.get(url).content.startswith(PNG)
    task = ask(gateway, key, f"/v1/images/tasks/{job['id']}").json()
    assert (task["status"], task["image_url"], task["http_status"]) == ("completed", url, 200)


def test_the_paths_of_other_gateways(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key()
    answer = post(f"{gateway.url}/images/generations/async", key)
    assert answer.status_code == 202
    task = answer.json()
    assert (task["object"], task["task_id"], task["status"]) == ("image.generation.task", task["id"], "processing")
    assert answer.headers["location"] == task["poll_url"] == f"/v1/images/tasks/{task['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert task["completed_at"] is None
    done = ended(gateway, key, task["poll_url"])
    assert (done["status"], done["http_status"]) == ("completed", 200)
    assert task["created_at"] <= done["completed_at"] <= time.time()
    assert base64.b64decode(done["result"]["data"][0]["b64_json"]).startswith(PNG)
    failed = post(f"{gateway.url}/images/generations/async", key, prompt="a house [sandbox: moderation]").json()
    found = ended(gateway, key, failed["poll_url"])
    assert (found["status"], found["http_status"], found["error"]["code"]) == ("failed", 400, "moderation_blocked")
    assert found["completed_at"] >= failed["created_at"]
    assert_bill_is_ledger(gateway, sandbox, 1)


def test_an_edit_by_the_path_of_other_gateways(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, files = gateway.store.key(), [("image", ("a.png", image_file((64, 64), "PNG"), "image/png"))]
    headers = {"authorization": f"Bearer {key.text}", "idempotency-key": "order-1"}

    def send(path: str, **more: str) -> Any:
        url = f"{gateway.root}{path}"
        return httpx2.post(url, data=BODY, files=files, headers={**headers, **more}, timeout=60)

    answer = send("/v1/images/edits/async")
    assert answer.status_code == 202, answer.text
    task = answer.json()
    assert (task["object"], task["status"]) == ("image.generation.task", "processing")
    done = ended(gateway, key, answer.headers["location"])
    assert (done["status"], done["http_status"]) == ("completed", 200)
    assert base64.b64decode(done["result"]["data"][0]["b64_json"]).startswith(PNG)
    for other in (send("/images/edits/async"), send("/v1/images/edits", **ASYNC)):
        assert (other.status_code, other.json()["id"]) == (202, task["id"])
        assert other.headers["x-gateway-replayed"] == "true"
    assert send("/v1/images/edits").json() == done["result"]
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []
    assert_bill_is_ledger(gateway, sandbox, 1)


def test_for_a_key_all_ways_to_write_a_path_are_one(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key, keyed = gateway.store.key(), {"idempotency-key": "order-1"}
    job = post(f"{gateway.root}/v1/images/generations/async", key, keyed)
    assert job.status_code == 202
    done = ended(gateway, key, job.headers["location"])
    for path in ("/images/generations/async", "/v1/images/generations/async/", "//v1/images/generations/async"):
        again = post(f"{gateway.root}{path}", key, keyed)
        assert (again.status_code, again.json()["id"]) == (202, done["id"])
    for path in ("/v1/images/generations", "/images/generations", "/v1//images/generations/"):
        answer = post(f"{gateway.root}{path}", key, keyed)
        assert (answer.headers["x-gateway-replayed"], answer.json()) == ("true", done["result"])
    assert post(f"{gateway.root}/images/generations", key, keyed, prompt="another").status_code == 422
    assert_bill_is_ledger(gateway, sandbox, 1)


def test_no_prompt_is_on_the_disk(gateway: RunningGateway) -> None:
    key, secret = gateway.store.key(), "a very secret lighthouse"
    submit(gateway, key, "respond-async, wait=50", prompt=secret)
    for file in gateway.settings.data_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_a_killed_job_that_was_sent_is_incomplete_and_never_run_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as first:
        key = first.store.key()
        path = submit(first, key, prompt="a house [sandbox: delay=30s]").headers["location"]
        wait_until(lambda: first.store.rows()[0]["dispatched_at_ms"] is not None, "it is sent")
        first.kill()
    with GatewayProcess(tmp_path / "data", sandbox.url) as second:
        job = ended(second, key, path)
        assert (job["status"], job["result"], job["error"]["code"]) == ("incomplete", None, "server_is_stopping")
        result = ask(second, key, f"{path}/result")
        assert (result.status_code, result.headers["x-should-retry"]) == (503, "false")
        (row,) = second.store.settled(1)
        assert (row["state"], row["usage_source"]) == ("expired", "estimated")


def test_a_stopping_gateway_finishes_its_jobs(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as first:
        key = first.store.key()
        path = submit(first, key, prompt="a house [sandbox: delay=3s]").headers["location"]
        first.terminate()
        assert first.process.wait(60) == 0
    with GatewayProcess(tmp_path / "data", sandbox.url) as second:
        job = ask(second, key, path).json()
        assert job["status"] == "completed"
        assert base64.b64decode(job["result"]["data"][0]["b64_json"]).startswith(PNG)
        assert_bill_is_ledger(second, sandbox, 1)


def test_a_stop_that_waits_no_longer_leaves_an_incomplete_job(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url, GATEWAY_SHUTDOWN_SECONDS="0") as first:
        key = first.store.key()
        path = submit(first, key, prompt="a house [sandbox: delay=30s]").headers["location"]
        wait_until(lambda: first.store.rows()[0]["dispatched_at_ms"] is not None, "it is sent")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    with GatewayProcess(tmp_path / "data", sandbox.url) as second:
        assert ask(second, key, path).json()["status"] == "incomplete"
        (row,) = second.store.settled(1)
        assert row["usage_source"] == "estimated"
