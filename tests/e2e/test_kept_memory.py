"""Answers of 30 MB that are kept pass through the disk and not through memory: when they are bought, when a retry gets
one, and when a job's result is fetched; alone, and a hundred at once."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.e2e.test_link_memory import (
    IMAGE,
    MANY,
    MANY_GROWTH_BYTES_MAX,
    ONE_GROWTH_BYTES_MAX,
    LargeUpstream,
    Peak,
    upstream,
)
from tests.servers import GatewayProcess, Key, wait_until

__all__ = ["upstream"]

BODY = {"model": "gpt-image-2", "prompt": "a", "size": "1024x1024", "quality": "low"}
Fetch = Callable[[], str]
Prepare = Callable[[GatewayProcess, Key, int], Fetch]


def digest_of(method: str, url: str, headers: dict[str, str], json: object = None) -> str:
    """The SHA-256 of an answer's body, read bit by bit."""
    digest = hashlib.sha256()
    with httpx2.stream(method, url, headers=headers, json=json, timeout=300) as answer:
        assert answer.status_code == 200, answer.read()
        for chunk in answer.iter_raw():
            digest.update(chunk)
    return digest.hexdigest()


def replay(gateway: GatewayProcess, key: Key, number: int) -> Fetch:
    """Buys with an Idempotency-Key; returns what asks for the same again."""
    headers = {"authorization": f"Bearer {key.text}", "idempotency-key": f"order-{number}"}
    bought = digest_of("POST", f"{gateway.url}/images/generations", headers, BODY)

    def fetch() -> str:
        got = digest_of("POST", f"{gateway.url}/images/generations", headers, BODY)
        assert got == bought
        return got

    return fetch


def job(gateway: GatewayProcess, key: Key, number: int) -> Fetch:
    """Buys as a job; returns what fetches its result."""
    headers = {"authorization": f"Bearer {key.text}", "prefer": "respond-async"}
    body = {**BODY, "prompt": f"a {number}"}
    submitted = httpx2.post(f"{gateway.url}/images/generations", headers=headers, json=body, timeout=300)
    path = gateway.root + submitted.headers["location"] + "/result"

    def is_there() -> bool:
        with httpx2.stream("GET", path, headers=headers, timeout=300) as answer:
            return answer.status_code == 200

    wait_until(is_there, "the job has ended", 120)
    return lambda: digest_of("GET", path, headers)


def around_a_result(gateway: GatewayProcess, key: Key, number: int) -> Fetch:
    """Buys as a job; returns what fetches the job with its result in it."""
    fetch = job(gateway, key, number)
    headers = {"authorization": f"Bearer {key.text}"}
    listed = httpx2.get(f"{gateway.url}/images/jobs?limit=1", headers=headers, timeout=300).json()["data"]
    assert fetch()
    return lambda: digest_of("GET", gateway.root + listed[0]["poll_url"], headers)


@pytest.mark.parametrize(
    "prepare",
    [
        replay,
        *(
            pytest.param(prepare, marks=pytest.mark.long("30 MB more are kept; every run keeps an answer for a replay"))
            for prepare in (job, around_a_result)
        ),
    ],
)
def test_one_large_answer_is_not_held_in_memory(tmp_path: Path, upstream: LargeUpstream, prepare: Prepare) -> None:
    with GatewayProcess(tmp_path / "data", upstream.url) as gateway:
        key = gateway.store.key()
        for number in range(3):  # what is loaded, and made, once
            prepare(gateway, key, number)()
        with Peak(gateway) as buying:
            fetch = prepare(gateway, key, 3)
        with Peak(gateway) as fetching:
            assert fetch() == fetch()
        assert buying.growth < ONE_GROWTH_BYTES_MAX, f"{buying.growth / 1e6:.1f} MB"
        assert fetching.growth < ONE_GROWTH_BYTES_MAX, f"{fetching.growth / 1e6:.1f} MB"


@pytest.mark.long("a hundred answers of 30 MB")
@pytest.mark.parametrize("prepare", [replay, job])
def test_a_hundred_large_answers_at_once(tmp_path: Path, upstream: LargeUpstream, prepare: Prepare) -> None:
    with GatewayProcess(tmp_path / "data", upstream.url, GATEWAY_FILES_BYTES_MAX="10000000000") as gateway:
        key = gateway.store.key()
        fetch = prepare(gateway, key, 0)
        wanted = fetch()
        with Peak(gateway) as fetching, ThreadPoolExecutor(MANY) as threads:
            assert set(threads.map(lambda _: fetch(), range(MANY))) == {wanted}
        assert fetching.growth < MANY_GROWTH_BYTES_MAX, f"{fetching.growth / 1e6:.1f} MB"
        assert len(IMAGE) > 20_000_000
        assert len(gateway.store.settled(1)) == 1
