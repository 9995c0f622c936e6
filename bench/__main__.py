"""The benchmark's command line: `make bench`, `make bench-full`, or one scenario of two contenders while tuning.

python -m bench                                                  everything, quickly
python -m bench --full                                           longer, more rounds, the ledger and readers too
python -m bench --only gateway --only nginx --scenario 8MB --rounds 3 --plain
python -m bench --only gateway --traces --scenario "2KB c=32" --plain      what traces cost
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.budgets import NOT_MEASURED, budget_table
from bench.contenders import ROOT, Contender, Direct, Gateway, Place, clean_environment
from bench.growth import Load
from bench.nginx import Nginx
from bench.past import make_past
from bench.peers import LiteLLM, Portkey
from bench.postgresql import empty_database
from bench.processes import BenchError, allow_open_files, choose_cores, pinned
from bench.readers import ADMIN_KEY, READ_BESIDE, measure_beside
from bench.rig import Rig
from bench.scenarios import SCENARIOS, TLS_SCENARIOS, by_name
from bench.session import Plan, Session
from bench.store import conditions, save
from bench.tables import Table, absolute_tables, ledger_tables, ratio_table, reader_table
from bench.traced import SHARES, TracedGateway, collecting, traced_table

FOLDER = ROOT / "build/bench"
RESULTS = FOLDER / "results.json"
_LEDGER_SECONDS = 5
_PAST = Load(records=1_000_000, keys=1000)
_READER_ROUNDS, _READER_SECONDS = 4, 6.0
OPEN_FILES = 32_768  # for 10,000 requests in flight; many machines allow 1,024 files unless they are asked for more


def all_contenders(settings: dict[str, str]) -> tuple[Contender, ...]:
    return (Direct(), Nginx(), Gateway(settings), LiteLLM(FOLDER), Portkey(FOLDER))


def plan_of(options: argparse.Namespace) -> Plan:
    """What the options ask for; what they leave open is quick, or full."""
    full = options.full
    chosen = tuple(one for name in options.scenario for one in by_name(name)) if options.scenario else SCENARIOS
    secure = tuple(scenario for scenario in chosen if scenario in TLS_SCENARIOS)
    if not full:
        chosen = tuple(
            scenario.shortened(5) if scenario.rate else scenario
            for scenario in chosen
            if options.scenario or not scenario.is_long
        )
    return Plan(
        scenarios=() if options.tls else chosen,
        tls_scenarios=() if options.plain else secure,
        rounds=options.rounds or (5 if full else 2),
        fresh_rounds=options.rounds or (3 if full else 1),
        seconds=options.seconds or (2.0 if full else 1.0),
        tries=options.tries or (3 if full else 2),
    )


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="longer runs, more rounds, the ledger and readers too")
    names = [contender.name for contender in all_contenders({})]
    parser.add_argument("--only", action="append", choices=names, help="a contender; may be given several times")
    scenarios = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=scenarios, help="may be given several times")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, help="how long a run lasts")
    parser.add_argument("--tries", type=int, help="how often a disturbed run is tried before it is kept with a mark")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--plain", action="store_true", help="nothing over TLS")
    which.add_argument("--tls", action="store_true", help="only over TLS")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the gateway, to see what it does"
    )
    parser.add_argument("--traces", action="store_true", help="also the gateway that sends traces of what it does")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file (default: %(default)s)")
    return parser.parse_args(arguments)


def show(console: Console, table: Table) -> None:
    made = RichTable(title=table.title, title_justify="left", header_style="bold")
    for number, column in enumerate(table.columns):
        made.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        made.add_row(*row)
    console.print(made)


def measure_ledger(core: int) -> list[dict[str, Any]]:
    """What bench/ledger.py finds, alone on the contender's core, on the disk of the gateway's database. PostgreSQL's
    server has all cores.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = _run_ledger(core)
    with empty_database(FOLDER) as url:
        return [*found, *_run_ledger(core, url, "--keys", "1000", "--concurrency", "256")]


def _run_ledger(core: int, *more: str) -> list[dict[str, Any]]:
    arguments = [sys.executable, "-m", "bench.ledger", "--json", "--seconds", str(_LEDGER_SECONDS), *more]
    done = subprocess.run(  # noqa: S603 - our own arguments
        pinned(core, arguments),
        cwd=ROOT,
        env=clean_environment() | {"TMPDIR": str(FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"bench/ledger.py failed:\n{done.stderr}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def measure_readers(rig: Rig, past: Load, rounds: int, seconds: float) -> list[dict[str, float | str]]:
    """What bench/readers.py finds beside such a past. Raises BenchError."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER) as folder:
        url = f"sqlite:///{folder}/past.db"
        make_past(url, past)
        gateway = Gateway({"GATEWAY_DATABASE_URL": url, "GATEWAY_ADMIN_KEY": ADMIN_KEY})
        place = Place(Path(folder), rig.cores.contender, f"http://127.0.0.1:{rig.port}/api/v1", rig.certificate)
        running = gateway.start(place)
        try:
            return [row for images in READ_BESIDE for row in measure_beside(rig, running, url, images, rounds, seconds)]
        finally:
            running.stop()


def main(arguments: list[str]) -> int:
    """The exit code: 1 when the rig itself could not be set up."""
    options, console = read_options(arguments), Console()
    settings = dict(text.split("=", 1) for text in options.set)
    chosen = all_contenders(settings)
    contenders = [one for one in chosen if not options.only or one.name in options.only]
    allow_open_files(OPEN_FILES)
    cores, pairs, readers = choose_cores(sorted(os.sched_getaffinity(0))), [], []
    try:
        if options.full and not options.scenario:
            pairs = measure_ledger(cores.contender)
        with Rig(FOLDER, cores) as rig, collecting(cores.rig) as collector:
            contenders += [TracedGateway(name, settings, collector) for name in SHARES if options.traces]
            session = Session(rig, plan_of(options), FOLDER / "work", lambda text: console.print(text, highlight=False))
            results = session.run(contenders)
            if options.full and not options.scenario:
                try:
                    readers = measure_readers(rig, _PAST, _READER_ROUNDS, _READER_SECONDS)
                except BenchError as error:  # all else is measured by now
                    session.told.notes["gateway, beside readers"] = str(error)
    except BenchError as error:
        console.print(f"[red]{error}[/]")
        return 1
    told = {
        "conditions": conditions(),
        "settings": options.set,
        "ledger": pairs,
        "readers": readers,
        "spans": dict(collector.spans),
        **asdict(session.told),
    }
    save(options.out, results, told)
    budgets = budget_table(results, told)
    if options.only or options.scenario:
        budgets = replace(budgets, rows=tuple(row for row in budgets.rows if row[-1] != NOT_MEASURED))
    for table in (
        *absolute_tables(results),
        *ledger_tables(pairs),
        reader_table(readers),
        ratio_table(results),
        traced_table(results, collector.spans),
        budgets,
    ):
        if table.rows:
            show(console, table)
    for who, why in session.told.absent.items():
        console.print(f"[yellow]{who} did not take part:[/] {why}")
    disturbed = sum(bool(run.reasons) for run in results.runs)
    if disturbed:
        console.print(
            f"[red]{disturbed} of {len(results.runs)} runs were disturbed to the last try (marked !): this machine was "
            "at work with other things, and their figures mean little.[/]"
        )
    console.print(f"Everything is in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
