"""What lists and charts of the admin API take with a long past, and what pollers of it cost those who make images. By
hand:

    python -m bench.admin_reads                                      SQLite in a temporary folder
    python -m bench.admin_reads postgresql://user@host/postgres      a database of its own is made on that server
    python -m bench.admin_reads --records 100000 --keys 100 --seconds 2

The past is that of bench.growth: 400 days, a thousand users in twenty teams, one record in 50,000 with an outcome of
its own; beside it are 100,000 refusals, files and jobs. Each question is asked over HTTP, one at a time; its page has a
hundred rows, or as many as are asked for. Then images are made beside nobody, beside open consoles, and beside programs
that ask again and again: bench.readers. The gateway has a core of its own; load, upstream and readers share another.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.contenders import Gateway, Place
from bench.growth import Load, database
from bench.past import list_more, make_past
from bench.processes import Cores, choose_cores
from bench.readers import ADMIN_KEY, BY_DAY_AND_USER, MONTH, READ_BESIDE, ask_admin, measure_beside
from bench.rig import Rig
from bench.tables import reader_table

START_TIME = 1792886400  # as `since` of MONTH
HALF_YEAR = START_TIME - 150 * 86_400
PAST = "since=2025-10-01&until=2026-11-24"

QUESTIONS = {
    "usage: 30 days by day": f"/admin/v1/usage?bucket=day&{MONTH}",
    "usage: 30 days by day and user": BY_DAY_AND_USER,
    "usage: the same, a page of 1,000": f"{BY_DAY_AND_USER}&limit=1000",
    "usage: 30 days by day and user of a team": f"{BY_DAY_AND_USER}&team=team-3",
    "usage: 30 days by day, size and quality": f"/admin/v1/usage?bucket=day&by=size,quality&{MONTH}",
    "usage: 24 hours by hour and model": "/admin/v1/usage?bucket=hour&by=model&since=2026-11-23&until=2026-11-24",
    "usage: 400 days by day": f"/admin/v1/usage?bucket=day&{PAST}",
    "usage: 400 days by user": f"/admin/v1/usage?bucket=all&by=user&{PAST}",
    "usage: 400 days by key": f"/admin/v1/usage?bucket=all&by=key&{PAST}",
    "usage: 400 days by model": f"/admin/v1/usage?bucket=all&by=model&{PAST}",
    "OpenAI's costs: 30 days by team": f"/v1/organization/costs?start_time={START_TIME}&limit=30&group_by=project_id",
    "OpenAI's costs: 180 days by team": f"/v1/organization/costs?start_time={HALF_YEAR}&limit=180&group_by=project_id",
    "requests: the newest": "/admin/v1/requests",
    "requests: of a user": "/admin/v1/requests?user=user-3",
    "requests: of a team": "/admin/v1/requests?team=team-3",
    "requests: with a rare outcome": "/admin/v1/requests?outcome=rare",
    "requests: with an outcome that none has": "/admin/v1/requests?outcome=none",
    "requests: of a model that none has": "/admin/v1/requests?model=openai/none",
    "requests: expired ones": "/admin/v1/requests?state=expired",
    "requests: live ones": "/admin/v1/requests?state=live",
    "reservations": "/admin/v1/reservations",
    "refusals: 30 days": f"/admin/v1/refusals?{MONTH}",
    "refusals: of a user": f"/admin/v1/refusals?{MONTH}&user_id=user-3",
    "changes": "/admin/v1/changes",
    "keys": "/admin/v1/keys",
    "users": "/admin/v1/users",
    "limits": "/admin/v1/limits",
    "files": "/admin/v1/files",
    "files: of a user": "/admin/v1/files?user=user-3",
    "jobs": "/admin/v1/jobs",
    "jobs: of a user": "/admin/v1/jobs?user=user-3",
}


def measure_questions(port: int, rounds: int, say: Callable[[str], None]) -> None:
    say(f"{'question':<44}{'median ms':>10}{'most ms':>10}")
    for name, path in QUESTIONS.items():
        times = [ask_admin(port, path) for _ in range(rounds)]
        say(f"{name:<44}{statistics.median(times):>10.1f}{max(times):>10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a PostgreSQL server; left out: SQLite")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="how often each question is asked")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of each of nine runs that make images, twice; 0: none"
    )
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - what a benchmark is for

    cores: Cores = choose_cores(sorted(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        url = stack.enter_context(database(options.url))
        began = time.perf_counter()
        load = Load(options.records, options.keys)
        make_past(url, load)
        list_more(url, load)
        say(f"{options.records:,} records of {options.keys:,} keys in {time.perf_counter() - began:.0f} s")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rig = stack.enter_context(Rig(folder, cores))
        gateway = Gateway({"GATEWAY_DATABASE_URL": url, "GATEWAY_ADMIN_KEY": ADMIN_KEY})
        place = Place(folder, cores.contender, f"http://127.0.0.1:{rig.port}/api/v1", rig.certificate)
        running = gateway.start(place)
        stack.callback(running.stop)
        measure_questions(running.port, options.rounds, say)
        if options.seconds:
            for images in READ_BESIDE:
                rows = measure_beside(rig, running, url, images, 3, options.seconds)
                for row in (reader_table(rows).columns, *reader_table(rows).rows):
                    say("  ".join(f"{cell:>12}" for cell in row))


if __name__ == "__main__":
    main()
