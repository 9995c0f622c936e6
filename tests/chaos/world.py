"""What the chaos test plays with: a PostgreSQL server, a stand-in ZenMux, gateways that are killed and come back.

Knows processes, when each was down, and nothing of what clients ask or what is right.
"""

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from app.database.engine import create_engine
from tests.chaos.provider import CATALOG
from tests.servers import GatewayProcess, Store, fetch_json, free_port, read_metric, wait_until
from tests.stores import PostgresqlServer

# A commit that was answered is kept when the server crashes; only a crash of the machine would lose it.
_CONF = "fsync = off\nfull_page_writes = off\nsynchronous_commit = on\nmax_connections = 100\n"
_NICENESS = 5  # whatever else the machine runs goes first
_POLL_SECONDS = 0.1
SETTINGS = {
    "GATEWAY_KEY_CACHE_SECONDS": "1",
    "GATEWAY_SWEEP_SECONDS": "2",
    "GATEWAY_UPSTREAM_SILENCE_SECONDS": "60",
    "GATEWAY_EXCHANGE_SECONDS_MAX": "90",
    "GATEWAY_LOG_LEVEL": "info",
}


async def still_time(until: float, pause_seconds: float) -> bool:
    """Waits for so long, but not past that moment of the monotonic clock; whether it is still to come then."""
    await asyncio.sleep(max(0.0, min(pause_seconds, until - time.monotonic())))
    return time.monotonic() < until


@dataclass
class Downtimes:
    """When something was away, in seconds of the monotonic clock; it is missed for `slack_seconds` longer."""

    slack_seconds: float
    spans: list[tuple[float, float]] = field(default_factory=list)

    def begin(self) -> None:
        if not self.spans or self.spans[-1][1] < math.inf:
            self.spans.append((time.monotonic(), math.inf))

    def end(self) -> None:
        if self.spans and self.spans[-1][1] == math.inf:
            self.spans[-1] = (self.spans[-1][0], time.monotonic())

    def touched(self, began: float, ended: float) -> bool:
        """Whether something that ran from `began` to `ended` may have met it."""
        return any(down <= ended and began <= up + self.slack_seconds for down, up in self.spans)


class Replica:
    """One of the gateways: a process on a port of its own, started again whenever it ends."""

    def __init__(self, number: int, folder: Path, upstream_url: str, store_url: str) -> None:
        self.name = f"gateway {number}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.down = Downtimes(slack_seconds=1)
        self.kills = 0
        self.unasked: list[str] = []  # ends nobody caused
        self._folder = folder / f"gateway-{number}"
        self._upstream_url = upstream_url
        self._environment = {**SETTINGS, "GATEWAY_DATABASE_URL": store_url, "GATEWAY_PORT": str(self.port)}
        catalog = folder / "catalog.toml"
        catalog.write_text(CATALOG)
        self._environment["GATEWAY_CATALOG_FILE"] = str(catalog)
        self._stopping = False
        self._process: GatewayProcess | None = None

    async def keep_running(self, store_down: Downtimes) -> None:
        """Start it, and start it again, until `stop`."""
        while not self._stopping:
            began = time.monotonic()
            self.down.begin()
            process = self._process = GatewayProcess(self._folder, self._upstream_url, **self._environment)
            os.setpriority(os.PRIO_PROCESS, process.process.pid, _NICENESS)
            kills = self.kills
            while process.process.poll() is None:
                if self.is_down and await asyncio.to_thread(self._answers):
                    self.down.end()
                await asyncio.sleep(_POLL_SECONDS)
            self.down.begin()
            code = process.process.returncode
            asked = self._stopping or self.kills > kills
            if not asked and not store_down.touched(began, time.monotonic()):
                self.unasked.append(f"{self.name} ended by itself with {code}:\n{process.log()[-2000:]}")

    @property
    def is_down(self) -> bool:
        return not self.down.spans or self.down.spans[-1][1] == math.inf

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.process.poll() is None:
            self.kills += 1
            self.down.begin()
            self._process.process.kill()

    def in_flight(self) -> float:
        """How many requests it serves."""
        return read_metric(f"http://127.0.0.1:{self.port}", "zenmux_gateway_in_flight_requests")

    def call(self, key: str) -> str:
        """Asks for an image, again where a limit refuses; returns the id of the request that was served."""
        body = {"model": "gpt-image-2", "prompt": "here", "size": "64x64", "quality": "low"}
        headers = {"authorization": f"Bearer {key}"}
        while True:
            answer = httpx2.post(f"{self.url}/images/generations", json=body, headers=headers, timeout=60)
            if answer.status_code == 200:
                return str(answer.headers["x-request-id"])
            assert answer.status_code == 429, answer.text
            time.sleep(5)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._stopping = True
        self._process.terminate()
        return self._process.process.wait(60)

    def abandon(self) -> None:
        """Whatever its state is: gone."""
        self._stopping = True
        if self._process is not None and self._process.process.poll() is None:
            self._process.process.kill()
            self._process.process.wait()

    def complaints(self) -> Iterator[str]:
        """What it logged as an error and did not only tell a client."""
        if self._process is None:
            return
        for line in self._process.log().splitlines():
            with contextlib.suppress(ValueError):
                told: dict[str, Any] = json.loads(line)
                if told["level"] in ("error", "critical") and _is_complaint(told):
                    yield f"{self.name} logged: {line}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(fetch_json(f"http://127.0.0.1:{self.port}/readyz")["status"] == "ready")
        return False


def _is_complaint(told: dict[str, Any]) -> bool:
    if told["logger"] == "uvicorn.error":  # a start while the database is away ends with this
        return "StoreUnavailable" not in told["event"] and not told["event"].startswith("Application startup failed")
    return told["event"] != "request" or told.get("outcome") == "fault"


class World:
    """Everything that runs. `replicas` are not started yet when the block begins: `Replica.keep_running` does."""

    def __init__(self, folder: Path, replicas: int) -> None:
        self._folder = folder
        self._count = replicas
        self.store_down = Downtimes(slack_seconds=5)  # waits have backed off to two seconds
        self.restarts: list[str] = []

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        with self._stack:
            self._postgresql = PostgresqlServer(_CONF)
            self._stack.callback(self._postgresql.stop)
            self.store_url = self._postgresql.create()
            origin = self._start_provider()
            self.bill_url = f"{origin}/sandbox/bill"
            self.replicas = [
                Replica(number, self._folder, f"{origin}/api/v1", self.store_url)
                for number in range(1, self._count + 1)
            ]
            for replica in self.replicas:
                self._stack.callback(replica.abandon)
            self.store = Store(create_engine(self.store_url))
            self._stack.callback(self.store.engine.dispose)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart_store(self, mode: str, away_seconds: float) -> None:
        """Stops PostgreSQL, waits, starts it again."""
        self.store_down.begin()
        self._postgresql.pause(mode)
        time.sleep(away_seconds)
        self._postgresql.resume()
        self.store_down.end()
        self.restarts.append(mode)

    def _start_provider(self) -> str:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.provider", str(port)],
            cwd=Path(__file__).parents[2],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        origin = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, "the stand-in ZenMux did not start"
            with contextlib.suppress(OSError):
                return bool(fetch_json(f"{origin}/healthz"))
            return False

        wait_until(answers, "the stand-in ZenMux answers", 60)
        return origin
