"""How long `db move` takes: a store with a long past, on SQLite, into an empty PostgreSQL database. By hand:

    python -m bench.moving postgresql://user@host/postgres      a database of its own is made on that server
    python -m bench.moving postgresql://user@host/postgres --records 1000000 --keys 1000

The command runs as a process of its own: its time, its CPU, the most memory it needed; PostgreSQL's are not in it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.database.engine import create_engine
from app.database.migrate import upgrade
from bench.growth import Load, database, fill


def moved(folder: Path, target: str) -> dict[str, float]:
    """Moves the store in `folder`. Raises CalledProcessError where the command finds anything wrong."""
    environment = {"PATH": os.environ["PATH"], "GATEWAY_DATA_DIR": str(folder)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "app", "db", "move", "--to", target, "--json"]
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603 - ours
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rows": sum(json.loads(printed)["rows"].values()),
        "file MB": (folder / "gateway.db").stat().st_size / 1e6,
        "seconds": seconds,
        "CPU s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "memory MB": used.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="a PostgreSQL server")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, database(options.url) as target:
        engine = create_engine(f"sqlite:///{Path(place) / 'gateway.db'}")
        upgrade(engine)
        fill(engine, Load(options.records, options.keys))
        engine.dispose()
        for name, value in moved(Path(place), target).items():
            print(f"{name:<12}{value:>14,.1f}")  # noqa: T201 - what a benchmark is for


if __name__ == "__main__":
    main()
