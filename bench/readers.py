"""What images take beside nobody, beside open consoles, and beside programs that ask the admin API again and again."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from app.database.engine import create_engine
from bench.budgets import CONSOLES
from bench.consoles import READERS, Ask, ask, habits, repeating, sign_in
from bench.contenders import Running
from bench.figures import percentile
from bench.processes import cpu_seconds, tree
from bench.requests import Request
from bench.rig import Job, Rig
from bench.scenarios import Scenario

ADMIN_KEY = "0123456789abcdef0123456789abcdef"
MONTH = "since=2026-10-25&until=2026-11-24"
BY_DAY_AND_USER = f"/admin/v1/usage?bucket=day&by=user&{MONTH}"
NOBODY = "nobody"
PROGRAMS = f"{READERS} programs that read usage by day and user"


@dataclass(frozen=True)
class Images:
    """Made by so many callers at a time, each taking so long at ZenMux."""

    callers: int
    milliseconds: int

    @property
    def request(self) -> Request:
        return Scenario("", f"2KB delay={self.milliseconds}", self.callers).request("gpt-image-2")


READ_BESIDE = (Images(8, 0), Images(64, 2000))
"""What is measured: a core that is full of small answers, and images that take their time."""


def ask_admin(port: int, path: str) -> float:
    """How long the whole answer took, in milliseconds."""
    return ask(port, path, {"authorization": f"Bearer {ADMIN_KEY}"})


def measure_beside(
    rig: Rig, running: Running, database_url: str, images: Images, rounds: int, seconds: float
) -> list[dict[str, float | str]]:
    """A row for each kind of reader, nobody first. They take turns, so that the machine's moods meet all. What one
    refresh costs is measured alone, before.
    """
    engine = create_engine(database_url)
    consoles = [sign_in(running.port, engine, f"user-{number}") for number in range(READERS)]
    engine.dispose()
    asks: dict[str, Sequence[Ask]] = {
        NOBODY: (),
        CONSOLES: habits(consoles),
        PROGRAMS: [partial(ask_admin, running.port, BY_DAY_AND_USER)] * READERS,
    }
    job = Job(running.encoded(images.request), images.callers, seconds, users=running.users)
    with _on_core(rig.cores.rig):
        costs = {who: _cpu_ms(running, each) for who, each in asks.items()}
        latencies: dict[str, list[tuple[float, ...]]] = {who: [] for who in asks}
        for _ in range(rounds):
            for who, each in asks.items():
                with repeating(each) if each else ExitStack():
                    latencies[who].append(rig.put_load(running.port, job).latency_ms)
    return [
        {"who": who, "callers": images.callers, "waits_ms": images.milliseconds, "cpu_ms": costs[who], **figures}
        for who, figures in compared(latencies).items()
    ]


def compared(latencies: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; the ratio is that of a round's p95 to its own p95 beside nobody."""
    alone = [percentile(run, 0.95) for run in latencies[NOBODY]]
    found = {}
    for who, runs in latencies.items():
        p95 = [percentile(run, 0.95) for run in runs]
        found[who] = {
            "images": float(sum(map(len, runs))),
            "p50_ms": statistics.median(percentile(run, 0.5) for run in runs),
            "p95_ms": statistics.median(p95),
            "p95_ratio": statistics.median(one / other for one, other in zip(p95, alone, strict=True)),
        }
    return found


def _cpu_ms(running: Running, asks: Sequence[Ask]) -> float:
    """What one refresh of one reader costs the gateway, with nothing beside."""
    if running.process is None or not asks:
        return 0.0
    for once in asks[:2]:
        once()  # what the first one loads
    members = tree(running.process.pid)
    before = cpu_seconds(members)
    for once in asks:
        once()
    return (cpu_seconds(members) - before) / len(asks) * 1e3


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """This process and its threads, so that readers take nothing of the contender's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
