"""Something else stands where a socket stands today: an exchange whose answer is collected in a file, without ASGI."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy import Engine

import app
from app.api.error_responses import error_event, error_response, wire_error
from app.errors import GatewayError, QuotaExceeded, UpstreamRefused
from app.exchange.bodies import json_body
from app.exchange.downstream import Downstream, EarlyHead, EventEnd
from app.exchange.exchange import Exchange
from app.exchange.in_flight import ExchangeBounds, Exchanges
from app.identity.keys.credentials import Caller
from app.images.catalog.catalog import load_catalog
from app.images.request.normalize import RequestPolicy, normalize
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from app.telemetry.event import Outcome, RequestEvent
from app.upstream.zenmux import Upstream
from tests.days import TODAY
from tests.quotas.making import on_key, rows, running_ledger, set_limits
from tests.servers import UPSTREAM_KEY, fetch_json

CALLER = Caller("key-1", None, "user-1", "alice", None, None, None)
POLICY = RequestPolicy(load_catalog(), True, None, "gpt-image-2", None)


class FileDownstream:
    """Collects an answer in a file, as a job would. Nobody leaves; nothing is kept alive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.headers: list[tuple[bytes, bytes]] = []
        self.event_end: EventEnd | None = None
        self.left = False
        self.started = False
        self.is_whole = False
        self.error: GatewayError | None = None
        self.is_closed = False
        self.begun = asyncio.Event()

    async def start(self, status: int, content_length: int | None) -> None:  # noqa: ARG002 - the protocol's
        assert status == 200
        self.started = True
        self.begun.set()
        await asyncio.to_thread(self._path.write_bytes, b"")

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:  # noqa: ARG002
        with self._path.open("ab") as file:
            file.write(chunk)

    async def finish(self) -> None:
        self.is_whole = True

    async def fail(self, error: GatewayError) -> None:
        self.error = error if self.started else None

    async def end_early(self, error: GatewayError) -> None:
        self.error = error

    def watch(self, on_leave: Callable[[], None]) -> None:
        """Nobody leaves."""

    def begin_early(self, head: EarlyHead) -> None:
        """Nobody waits for its head."""

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """No comments in a file."""

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
async def exchanges(engine: Engine) -> AsyncIterator[tuple[Exchanges, SandboxServer]]:
    bounds = ExchangeBounds(
        exchange_seconds_max=60,
        reservation_seconds=120,
        client_stall_seconds=60,
        keepalive_seconds=60,
        early_head_seconds=0,
        requests_in_flight_max=20,
        user_in_flight_percent=100,
        abandoned_exchanges_max=1,
        usage_holds_max=20,
    )
    with SandboxServer() as sandbox:
        upstream = Upstream(Settings(_env_file=None, zenmux_api_key=UPSTREAM_KEY, zenmux_base_url=sandbox.url), utc_now)
        await upstream.open()
        async with running_ledger(engine) as ledger:
            yield (
                Exchanges(
                    ledger,
                    upstream,
                    utc_now,
                    asyncio.get_running_loop().time,
                    bounds,
                    error_event,
                    lambda error: error_response(wire_error(error)),
                ),
                sandbox,
            )
        await upstream.aclose()


async def run(shared: Exchanges, downstream: Downstream, prompt: str, *, stream: bool = False) -> RequestEvent:
    fields = {"model": "gpt-image-2", "prompt": prompt, "size": "1024x1024", "quality": "low", "stream": stream}
    event = RequestEvent(f"req_{prompt}", "/jobs", shared.monotonic())
    request = normalize(fields, POLICY, TODAY)
    await Exchange(shared, CALLER, request, event, json_body(request.fields)).run(downstream)
    assert await shared.tasks.drain(5) == 0, "its settlement is written"
    return event


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_collected_in_a_file(
    exchanges: tuple[Exchanges, SandboxServer], engine: Engine, tmp_path: Path, stream: bool
) -> None:
    shared, sandbox = exchanges
    downstream = FileDownstream(tmp_path / "answer")
    event = await run(shared, downstream, "a house", stream=stream)
    assert (downstream.is_whole, downstream.is_closed, downstream.error) == (True, True, None)
    assert (b"x-gateway-estimated-cost-usd" in dict(downstream.headers), event.outcome) == (True, Outcome.COMPLETED)
    text = (tmp_path / "answer").read_bytes()
    whole = json.loads(text.split(b"data: ")[-1]) if stream else json.loads(text)["data"][0]
    assert len(whole["b64_json"]) > 100
    [row] = rows(engine).values()
    assert (row["state"], row["usage_source"], row["charged_images"]) == ("settled", "reported", 1)
    bill = await asyncio.to_thread(fetch_json, sandbox.bill_url)
    assert bill["total_cost_nanousd"] == row["charged_nanousd"]


async def test_what_was_not_begun_is_raised_when_it_is_settled(
    exchanges: tuple[Exchanges, SandboxServer], engine: Engine, tmp_path: Path
) -> None:
    shared, _ = exchanges
    downstream = FileDownstream(tmp_path / "answer")
    with pytest.raises(UpstreamRefused):
        await run(shared, downstream, "a house [sandbox: status=400]")
    assert (downstream.started, downstream.is_closed, shared.in_flight) == (False, True, 0)
    assert [row["state"] for row in rows(engine).values()] == ["settled"]
    set_limits(engine, on_key("images:1/day"))
    await run(shared, FileDownstream(tmp_path / "other"), "one")
    with pytest.raises(QuotaExceeded):
        await run(shared, downstream, "two")
    assert shared.in_flight == 0


async def test_a_stop_ends_it_early_and_its_usage_is_charged(
    exchanges: tuple[Exchanges, SandboxServer], engine: Engine, tmp_path: Path
) -> None:
    shared, _ = exchanges
    downstream = FileDownstream(tmp_path / "answer")
    running = asyncio.ensure_future(run(shared, downstream, "a house [sandbox: gap=300ms]", stream=True))
    await downstream.begun.wait()
    shared.interrupt()
    event = await running
    assert (downstream.error is not None, event.outcome) == (True, Outcome.INTERRUPTED)
    assert [(row["state"], row["usage_source"]) for row in rows(engine).values()] == [("settled", "reported")]


APP = Path(app.__file__).parent
WALK = re.findall(
    r"^\| \d+ \| `([\w/]+\.py)`: `(?:\w+\.)?(\w+)`", (APP.parent / "docs" / "design.md").read_text(), re.MULTILINE
)


def test_the_walk_enters_no_file_twice() -> None:
    files = [file for file, _ in WALK]
    assert len(files) == len(set(files)) >= 20


async def test_the_walk_of_the_design_page_is_what_happens(
    exchanges: tuple[Exchanges, SandboxServer], tmp_path: Path
) -> None:
    """From the exchange on: the first call of each function that the page lists, in the page's order."""
    listed = [step for step in WALK[WALK.index(("exchange/exchange.py", "run")) :] if step[0] != "exchange/asgi.py"]
    seen = list[tuple[str, str]]()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(APP):
            step = path.relative_to(APP).as_posix(), frame.f_code.co_name
            if step in listed and step not in seen:
                seen.append(step)

    shared, _ = exchanges
    sys.setprofile(note)
    try:
        await run(shared, FileDownstream(tmp_path / "answer"), "a house")
    finally:
        sys.setprofile(None)
    assert seen == listed
