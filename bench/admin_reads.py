"""What lists and charts of the admin API take with a long past, and what pollers of it cost those who make images. By
hand:

    python -m bench.admin_reads                                      SQLite in a temporary folder
    python -m bench.admin_reads postgresql://user@host/postgres      a database of its own is made on that server
    python -m bench.admin_reads --records 100000 --keys 100 --seconds 2

The past is that of bench.growth: 400 days, a thousand users in twenty teams, one record in 50,000 with an outcome of
its own. Each question is asked over HTTP, one at a time; its page has a hundred rows, or as many as are asked for. Then
images are made, with and without twenty who each ask for the usage of 30 days by day and user every five seconds. The
gateway has a core of its own; load, upstream and pollers share another.
"""

import argparse
import contextlib
import http.client
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from app.database.engine import create_engine, writing
from app.database.migrate import upgrade
from bench.contenders import Gateway, Place, Running
from bench.figures import percentile
from bench.growth import Load, database, fill
from bench.processes import Cores, choose_cores
from bench.requests import Request
from bench.rig import Job, Rig
from bench.scenarios import Scenario

ADMIN_KEY = "0123456789abcdef0123456789abcdef"
MONTH = "since=2026-10-25&until=2026-11-24"
BY_DAY_AND_USER = f"/admin/v1/usage?bucket=day&by=user&{MONTH}"
USERS = 1000  # of bench.growth
POLLERS, EVERY_SECONDS = 20, 5.0  # as pages of the console do
START_TIME = 1792886400  # as `since` of MONTH

QUESTIONS = {
    "usage: 30 days by day": f"/admin/v1/usage?bucket=day&{MONTH}",
    "usage: 30 days by day and user": BY_DAY_AND_USER,
    "usage: the same, a page of 1,000": f"{BY_DAY_AND_USER}&limit=1000",
    "usage: 30 days by day and user of a team": f"{BY_DAY_AND_USER}&team=team-3",
    "usage: 30 days by day, size and quality": f"/admin/v1/usage?bucket=day&by=size,quality&{MONTH}",
    "usage: 24 hours by hour and model": "/admin/v1/usage?bucket=hour&by=model&since=2026-11-23&until=2026-11-24",
    "usage: 400 days by user": "/admin/v1/usage?bucket=all&by=user&since=2025-10-01&until=2026-11-24",
    "OpenAI's costs: 30 days by team": f"/v1/organization/costs?start_time={START_TIME}&limit=30&group_by=project_id",
    "requests: the newest": "/admin/v1/requests",
    "requests: of a user": "/admin/v1/requests?user_id=user-3",
    "requests: of a team": "/admin/v1/requests?team_id=team-3",
    "requests: with a rare outcome": "/admin/v1/requests?outcome=rare",
    "requests: with an outcome that none has": "/admin/v1/requests?outcome=none",
    "requests: of a model that none has": "/admin/v1/requests?model=openai/none",
    "requests: expired ones": "/admin/v1/requests?state=expired",
    "requests: live ones": "/admin/v1/requests?state=live",
    "reservations": "/admin/v1/reservations",
    "refusals: 30 days": f"/admin/v1/refusals?{MONTH}",
    "changes": "/admin/v1/changes",
    "keys": "/admin/v1/keys",
    "users": "/admin/v1/users",
    "files": "/admin/v1/files",
    "jobs": "/admin/v1/jobs",
}

PEOPLE = """
INSERT INTO {table} ({columns})
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})
SELECT {values} FROM numbers
"""


@dataclass(frozen=True)
class Images:
    """Made by so many callers at a time, each taking so long at ZenMux."""

    callers: int
    milliseconds: int

    @property
    def request(self) -> Request:
        return Scenario("", f"2KB delay={self.milliseconds}", self.callers).request("gpt-image-2")


def make_past(url: str, load: Load) -> None:
    """The past, and the people whose it is."""
    engine = create_engine(url)
    upgrade(engine)
    fill(engine, load)
    name_people(engine, load)
    engine.dispose()


def name_people(engine: Engine, load: Load) -> None:
    rows = (
        ("teams", "id, name, created_at_ms", 20, "'team-' || n, 'Team ' || n, 0"),
        ("users", "id, name, team_id, created_at_ms", USERS, "'user-' || n, 'User ' || n, 'team-' || (n % 20), 0"),
        ("keys", "id, user_id, created_at_ms", load.keys, f"'key-' || n, 'user-' || (n % {USERS}), 0"),
    )
    with writing(engine) as connection:
        for table, columns, count, values in rows:
            connection.execute(text(PEOPLE.format(table=table, columns=columns, count=count, values=values)))


def ask(port: int, path: str) -> float:
    """How long the whole answer took, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {ADMIN_KEY}"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"{path}: HTTP {answer.status}: {content[:300].decode()}")
    return (time.perf_counter() - began) * 1e3


@contextmanager
def polling(port: int) -> Iterator[None]:
    """Twenty who ask again and again."""
    is_over = threading.Event()

    def poll(number: int) -> None:
        is_over.wait(EVERY_SECONDS * number / POLLERS)
        while not is_over.is_set():
            ask(port, BY_DAY_AND_USER)
            is_over.wait(EVERY_SECONDS)

    pollers = [threading.Thread(target=poll, args=(number,)) for number in range(POLLERS)]
    for poller in pollers:
        poller.start()
    yield
    is_over.set()
    for poller in pollers:
        poller.join()


def measure_questions(port: int, rounds: int, say: Callable[[str], None]) -> None:
    say(f"{'question':<44}{'median ms':>10}{'most ms':>10}")
    for name, path in QUESTIONS.items():
        times = [ask(port, path) for _ in range(rounds)]
        say(f"{name:<44}{statistics.median(times):>10.1f}{max(times):>10.1f}")


def measure_images(rig: Rig, running: Running, images: Images, seconds: float, say: Callable[[str], None]) -> None:
    """In turns, so that the machine's moods meet both."""
    found: dict[bool, list[tuple[float, float, int]]] = {False: [], True: []}
    job = Job(running.encoded(images.request), images.callers, seconds)
    for is_polled in (False, True) * 3:
        with polling(running.port) if is_polled else contextlib.nullcontext():
            answers = rig.put_load(running.port, job)
        times = answers.latency_ms
        found[is_polled].append((percentile(times, 0.5), percentile(times, 0.95), answers.good))
    for is_polled, runs in found.items():
        p50, p95 = (statistics.median(run[at] for run in runs) for at in (0, 1))
        shown, made = "  ".join(f"{run[1]:.1f}" for run in runs), sum(run[2] for run in runs)
        who = f"{POLLERS if is_polled else 'no'} pollers"
        say(f"{images.callers} callers, {images.milliseconds} ms at ZenMux, {who}: {made} images,")
        say(f"    p50 {p50:.1f} ms, p95 {p95:.1f} ms (of each run: {shown})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a PostgreSQL server; left out: SQLite")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7, help="how often each question is asked")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of six runs that make images; 0: none")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - what a benchmark is for

    cores: Cores = choose_cores(sorted(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        url = stack.enter_context(database(options.url))
        began = time.perf_counter()
        make_past(url, Load(options.records, options.keys))
        say(f"{options.records:,} records of {options.keys:,} keys in {time.perf_counter() - began:.0f} s")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rig = stack.enter_context(Rig(folder, cores))
        gateway = Gateway({"GATEWAY_DATABASE_URL": url, "GATEWAY_ADMIN_KEY": ADMIN_KEY})
        place = Place(folder, cores.contender, f"http://127.0.0.1:{rig.port}/api/v1", rig.certificate)
        running = gateway.start(place)
        stack.callback(running.stop)
        measure_questions(running.port, options.rounds, say)
        if options.seconds:
            for images in (Images(1, 0), Images(16, 2000)):
                measure_images(rig, running, images, options.seconds, say)


if __name__ == "__main__":
    main()
