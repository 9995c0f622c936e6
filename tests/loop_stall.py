"""Measures how long anything holds a server's event loop: no caller and no upstream may hold it for STALL_SECONDS_MAX.

In a process of its own (the one to prefer: nothing of the test runs in its interpreter):

    with GatewayProcess(tmp_path / "data", sandbox.url, module="tests.loop_stall") as gateway:
        assert_no_stall(gateway.root, lambda: send_garbage(gateway.port))

On a loop of the test: `with LoopProbe(asyncio.get_running_loop()) as probe: ...; probe.take()`.
Around any ASGI app: `probed(app)` answers GET /loop-stall and begins anew.

What is measured is the time between two ticks of a timer on that loop, less the timer's own time, and less the time
for which threads of its process were ready and other processes had the processor: the loop's own, or one that has
Python's lock. So a busy machine does not fail a test, while computing, waiting for a disk, and waiting for another
thread that computes all count. What the loop's own thread computes counts in any case.
"""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from starlette.types import ASGIApp, Receive, Scope, Send

STALL_SECONDS_MAX = 0.05
PATH = "/loop-stall"
_TICK_SECONDS = 0.002
_THREADS = Path("/proc/self/task")  # schedstat of each: nanoseconds run, nanoseconds ready without a processor, slices
_ATTEMPTS = 3


class LoopProbe:
    """Ticks on `loop` from `start` to `stop`, which are called on the loop's own thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._last = self._last_computed = self._worst = 0.0
        self._last_queued: dict[str, int] = {}

    def start(self) -> Self:
        self._worst = 0.0
        self._last, self._last_computed, self._last_queued = time.monotonic(), time.thread_time(), _queued_ns()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)
        return self

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> float:
        """The longest stall in seconds since the last call, the one that ends now included."""
        self._note()
        worst, self._worst = self._worst, 0.0
        return worst

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tick(self) -> None:
        self._note()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def _note(self) -> None:
        now, computed, queued = time.monotonic(), time.thread_time(), _queued_ns()
        queued_ns = sum(waited - self._last_queued.get(thread, 0) for thread, waited in queued.items())
        held = max(computed - self._last_computed, now - self._last - _TICK_SECONDS - queued_ns / 1e9)
        self._last, self._last_computed, self._last_queued = now, computed, queued
        self._worst = max(self._worst, held)


def _queued_ns() -> dict[str, int]:
    """For how long each thread of this process was ready to run and had no processor; nothing where the kernel does not
    tell."""
    found: dict[str, int] = {}
    for thread in os.listdir(_THREADS) if _THREADS.is_dir() else ():  # noqa: PTH208 - hundreds of times a second
        with suppress(OSError, IndexError):  # it has ended
            found[thread] = int((_THREADS / thread / "schedstat").read_bytes().split()[1])
    return found


def probed(app: ASGIApp) -> ASGIApp:
    """`app` with a probe on its loop from its lifespan's first moment on."""
    probes: list[LoopProbe] = []

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            probes.append(LoopProbe(asyncio.get_running_loop()).start())
            try:
                await app(scope, receive, send)
            finally:
                probes[0].stop()
        elif scope["path"] == PATH:
            body = json.dumps({"seconds": probes[0].take()}).encode()
            length = str(len(body)).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await app(scope, receive, send)

    return wrapped


def take_stall(root: str) -> float:
    """The longest stall in seconds of the probed server at `root` since the last call."""
    with urllib.request.urlopen(f"{root}{PATH}", timeout=120) as answer:
        return float(json.load(answer)["seconds"])


def assert_no_stall(root: str, act: Callable[[], object], seconds_max: float = STALL_SECONDS_MAX) -> None:
    """Asserts that `act` holds the loop of the probed server at `root` for less than `seconds_max` at a time.

    What an input does to the loop, it does each time; what the host of a virtual machine does, it does once. So a
    stall counts when it comes every time of three; `act` must be repeatable.
    """
    stalls: list[float] = []
    for _ in range(_ATTEMPTS):
        take_stall(root)
        act()
        stalls.append(take_stall(root))
        if stalls[-1] < seconds_max:
            return
    shown = ", ".join(f"{stall * 1000:.0f} ms" for stall in stalls)
    raise AssertionError(f"the loop was held for {shown}")


def main() -> None:
    """`python -m app` with a probe: `python -m tests.loop_stall serve`. Not for several workers."""
    import app.main as main
    from app.cli.main import run

    create_app = main.create_app

    def create_probed(*arguments: Any, **more: Any) -> ASGIApp:
        return probed(create_app(*arguments, **more))

    main.create_app = create_probed  # what `serve` looks up when it makes the gateway
    sys.argv[0] = "zenmux-gateway"
    run()


if __name__ == "__main__":
    main()
