"""How long a gateway.yaml of many users takes to apply: the first time, again, what its export takes, and that neither
the second time nor the export is a change. By hand:

    python -m bench.setup                                       SQLite in a temporary folder
    python -m bench.setup postgresql://user@host/empty_database
    python -m bench.setup --users 10000

Each user is in one of twenty teams and has two limits and a key with a limit of its own. CPU is this process's own.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import apply_setup
from app.admin.setup.export import export_setup
from app.database.engine import create_engine
from app.database.migrate import upgrade
from app.images.catalog.catalog import load_catalog
from app.setup.reading import read_setup

TEAMS = 20


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a benchmark is its own clock


def setup_file(users: int) -> bytes:
    """The text of a gateway.yaml."""
    lines = ["version: 1", "defaults: {limits: [images:100/day]}", "teams:"]
    lines += [f"  team-{number}: {{limits: [usd:1000/month]}}" for number in range(TEAMS)]
    lines.append("users:")
    lines += [
        f"  user-{number}: {{team: team-{number % TEAMS}, role: member, limits: [usd:5/day, images:50/day]}}"
        for number in range(users)
    ]
    lines.append("keys:")
    lines += [f"  user-{number}/laptop: {{models: [gpt-image-2], limits: [concurrent:2]}}" for number in range(users)]
    return "\n".join(lines).encode()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints how long it took, on the clock and of this process's CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"  {what:<24}{time.perf_counter() - began:8.2f} s{time.process_time() - cpu:8.2f} s CPU")  # noqa: T201


def run(url: str, users: int) -> tuple[int, int, int]:
    """How many changes the file, the file again, and its export made."""
    engine = create_engine(url)
    upgrade(engine)
    operator, names = Operator(engine, now, "bench"), ModelNames(load_catalog(), passes_unknown=False, successor="")

    def apply(content: bytes) -> int:
        return apply_setup(operator, read_setup(content, "gateway.yaml"), names).plan.count

    content = setup_file(users)
    print(f"{users:,} users, {len(content) / 1024:,.0f} KiB, {engine.dialect.name}")  # noqa: T201
    with timed("apply"):
        changes = apply(content)
    with timed("apply again"):
        again = apply(content)
    with timed("export"):
        exported = export_setup(operator).encode()
    with timed("apply the export"):
        of_export = apply(exported)
    print(f"  {changes:,} changes, then {again}, then {of_export}")  # noqa: T201
    engine.dispose()
    return changes, again, of_export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="an empty database; left out: SQLite in a temporary folder")
    parser.add_argument("--users", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(options.url or f"sqlite:///{Path(folder) / 'bench.db'}", options.users)


if __name__ == "__main__":
    main()
