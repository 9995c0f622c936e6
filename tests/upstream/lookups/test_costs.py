"""Asking what a day cost: what is sent, what is tried again and how often, what is told; never the key."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import ConfigurationError, RemoteFailure
from app.settings.settings import Settings
from app.upstream.lookups import asking
from app.upstream.lookups.costs import BilledModel, fetch_day_cost, read_day_cost
from tests.upstream.raw_server import Answer, Connection, answered, serve

DAY = date(2026, 11, 24)
KEY = "sk-mg-v1-a-secret"
GOOD = {"modelSlug": "openai/gpt-image-2", "billAmount": 0.08, "requestCounts": 2, "bizTime": "20261124"}


def answer_of(*entries: Any) -> bytes:
    return json.dumps({"success": True, "data": {"summary": {}, "analysis": {"costByModel": entries}}}).encode()


def settings_for(url: str, **fields: Any) -> Settings:
    chosen: dict[str, Any] = {"zenmux_base_url": f"{url}/api/v1", "zenmux_management_key": KEY, **fields}
    return Settings(_env_file=None, **chosen)


class Sleeper:
    """Counts the waits and takes none."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def in_turn(*answers: bytes) -> Answer:
    """Gives each answer once, then the last for ever; an empty one drops the connection."""
    left = list(answers)

    async def answer(connection: Connection) -> None:
        data = left.pop(0) if len(left) > 1 else left[0]
        if not data:
            raise EOFError
        await connection.send(data)

    return answer


async def failure_of(*answers: bytes) -> tuple[str, int]:
    """What is told, and how often it was asked."""
    async with serve(in_turn(*answers)) as server:
        with pytest.raises(RemoteFailure) as raised:
            await fetch_day_cost(settings_for(server.url), DAY, sleep=Sleeper())
    assert KEY not in raised.value.message
    assert "a-secret" not in raised.value.message
    return raised.value.message, len(server.requests)


async def test_it_asks_for_the_day_with_the_management_key() -> None:
    async with serve(in_turn(answered(answer_of(GOOD)))) as server:
        found = await fetch_day_cost(settings_for(server.url, zenmux_api_key="sk-ai-v1-other"), DAY, sleep=Sleeper())
    assert found == [BilledModel("openai/gpt-image-2", 2, 80_000_000)]
    [request] = server.requests
    line, *headers = request.decode().split("\r\n")
    assert line == "GET /api/v1/management/cost?type=cost&query_dimension=BIZ_DT&query_time=20261124 HTTP/1.1"
    assert f"authorization: Bearer {KEY}" in {header[:13].lower() + header[13:] for header in headers}
    assert not any(header.lower().startswith(("content-", "cookie")) for header in headers)


@pytest.mark.parametrize("status", ["429 Slow", "500 No", "502 No", "503 No", "504 No", "524 No", ""])
async def test_what_passes_is_tried_again(status: str) -> None:
    sleeper = Sleeper()
    failed = answered(b"{}", status=status) if status else b""
    async with serve(in_turn(failed, failed, answered(answer_of(GOOD)))) as server:
        found = await fetch_day_cost(settings_for(server.url), DAY, sleep=sleeper)
    assert len(found) == 1
    assert len(server.requests) == 3
    assert sleeper.waits == [1, 2]


@pytest.mark.parametrize(
    ("status", "asked", "told"),
    [
        (400, 1, "does not tell what the day cost (400: No such day"),
        (401, 1, "refuses ZENMUX_MANAGEMENT_KEY (401: No such day"),
        (403, 1, "must be a management key (sk-mg-…)"),
        (404, 1, "no management API below ZENMUX_BASE_URL"),
        (429, 3, "too often"),
        (503, 3, "try again later"),
        (302, 1, "does not tell"),
    ],
)
async def test_a_refusal_is_told_in_words(status: int, asked: int, told: str) -> None:
    said = {"error": {"code": str(status), "type": "x", "message": f"No such day (request_id: 8a1b2c3d) {KEY}"}}
    message, count = await failure_of(answered(json.dumps(said).encode(), status=f"{status} No"))
    assert told in message
    assert count == asked
    assert "8a1b" not in message


async def test_a_connection_that_drops_is_told() -> None:
    message, asked = await failure_of(b"")
    assert "cannot be reached at ZENMUX_BASE_URL" in message
    assert asked == 3


async def test_an_answer_cut_short_is_no_answer() -> None:
    whole = answered(answer_of(GOOD))

    async def cut(connection: Connection) -> None:
        await connection.send(whole[:-10])
        raise EOFError

    async with serve(cut) as server:
        with pytest.raises(RemoteFailure, match="cannot be reached"):
            await fetch_day_cost(settings_for(server.url), DAY, sleep=Sleeper())


async def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_BYTES_MAX", 1_000_000)

    async def endless(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")

    async with serve(endless) as server:
        with pytest.raises(RemoteFailure, match="over 1 MB"):
            await fetch_day_cost(settings_for(server.url), DAY, sleep=Sleeper())


async def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_SECONDS_MAX", 0.1)

    async def silent(connection: Connection) -> None:
        await connection.until_client_closes()
        raise EOFError

    async with serve(silent) as server:
        with pytest.raises(RemoteFailure, match="did not tell within"):
            await fetch_day_cost(settings_for(server.url), DAY)


async def test_without_a_key_nobody_is_asked() -> None:
    with pytest.raises(ConfigurationError, match=r"ZENMUX_MANAGEMENT_KEY is not set.*sk-mg-"):
        await fetch_day_cost(settings_for("http://127.0.0.1:9", zenmux_management_key=None), DAY)


@pytest.mark.parametrize(
    ("amount", "nanousd"),
    [
        ("0.08", 80_000_000),
        ("0.005935001", 5_935_001),
        ("0.011940000000000001", 11_940_000),
        ("1e-9", 1),
        ("5", 5_000_000_000),
        ('"0.08"', 80_000_000),
        ("0", 0),
        ("-0.02", -20_000_000),
        ("123456.123456789", 123_456_123_456_789),
    ],
)
def test_amounts_are_exact(amount: str, nanousd: int) -> None:
    body = answer_of(GOOD | {"billAmount": "AMOUNT"}).replace(b'"AMOUNT"', amount.encode())
    assert read_day_cost(body, DAY) == [BilledModel("openai/gpt-image-2", 2, nanousd)]


def test_entries_of_one_model_are_added_and_other_days_are_not() -> None:
    hours = [GOOD | {"bizTime": time} for time in ("2026-11-24 00", "2026-11-24T23:00:00", 20261124)]
    other = GOOD | {"bizTime": "20261125"}
    timeless = {name: value for name, value in GOOD.items() if name != "bizTime"} | {"modelSlug": "x/y"}
    assert read_day_cost(answer_of(*hours, other, timeless), DAY) == [
        BilledModel("openai/gpt-image-2", 6, 240_000_000),
        BilledModel("x/y", 2, 80_000_000),
    ]
    assert read_day_cost(answer_of(), DAY) == []
    with pytest.raises(RemoteFailure, match="tells of other times"):
        read_day_cost(answer_of(other), DAY)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"data": null}',
        b'{"success": false, "data": {}}',
        b'{"data": {"analysis": {"costByModel": {}}}}',
        b"[" * 100_000,
        answer_of(3),
        answer_of({}),
        answer_of(GOOD | {"modelSlug": 3}),
        answer_of(GOOD | {"modelSlug": "\x1b[31m"}),
        answer_of(GOOD | {"modelSlug": "x" * 200}),
        answer_of(GOOD | {"requestCounts": -1}),
        answer_of(GOOD | {"requestCounts": 1.5}),
        answer_of(GOOD | {"requestCounts": True}),
        answer_of(GOOD | {"billAmount": None}),
        answer_of(GOOD | {"billAmount": True}),
        answer_of(GOOD | {"billAmount": "much"}),
        answer_of(GOOD | {"billAmount": float("nan")}),
        answer_of(GOOD | {"billAmount": float("inf")}),
        answer_of(GOOD | {"billAmount": 1e300}),
        answer_of(*[GOOD] * 10_001),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_what_is_no_answer_is_told(body: bytes) -> None:
    with pytest.raises(RemoteFailure, match="cannot be read") as raised:
        read_day_cost(body, DAY)
    assert len(raised.value.message) < 300
    assert raised.value.message.isprintable()


def test_the_key_does_not_show() -> None:
    assert KEY not in repr(settings_for("http://x"))
    assert settings_for("http://x").zenmux_management_key == SecretStr(KEY)
