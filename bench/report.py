"""Puts a benchmark's figures into docs/performance.md and docs/benchmark.md: `python -m bench.report [FILE]`.

No figure between two marks is typed by hand: it is thrown away and written anew.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.budgets import budget_table
from bench.contenders import ROOT
from bench.figures import Results
from bench.store import load
from bench.tables import Table, absolute_tables, ledger_tables, ratio_table, reader_table

PAGES = {
    ROOT / "docs/performance.md": ("conditions", "budgets", "ledger", "readers"),
    ROOT / "docs/benchmark.md": ("ratios", "figures"),
}
RESULTS = ROOT / "build/bench/results.json"


def sections(results: Results, told: Mapping[str, Any]) -> dict[str, str]:
    """The text of every marked place of the pages, by its name."""
    pairs = told.get("ledger", [])
    return {
        "conditions": conditions_text(results, told),
        "budgets": markdown(budget_table(results, told)),
        "ratios": markdown(ratio_table(results)),
        "figures": "\n\n".join(f"### {table.title}\n\n{markdown(table)}" for table in absolute_tables(results)),
        "ledger": "\n\n".join(markdown(table) for table in ledger_tables(pairs)) or "Not measured.",
        "readers": markdown(reader_table(told["readers"])) if told.get("readers") else "Not measured.",
    }


def conditions_text(results: Results, told: Mapping[str, Any]) -> str:
    """Where and with what it was measured, who was not there, and how quiet it was."""
    machine = dict(told["conditions"])
    date, cpu, memory, kernel, python = (machine.pop(name) for name in ("date", "cpu", "memory", "kernel", "python"))
    disturbed = sum(bool(run.reasons) for run in results.runs)
    lines = [
        f"- Measured on {date}: {cpu}, {memory}, Linux {kernel}, Python {python}.",
        f"- Contenders: {', '.join(f'{name} {version}' for name, version in told['versions'].items())}.",
        f"- The gateway's libraries: {', '.join(f'{name} {version}' for name, version in machine.items())}.",
        f"- {len(results.runs)} runs are kept, {disturbed} of them disturbed (marked !); {told['discarded']} disturbed "
        "runs were thrown away and repeated.",
        *(f"- The gateway ran with `{setting}`." for setting in told.get("settings", [])),
        *(f"- {who} did not take part: {why.splitlines()[0][:200]}" for who, why in told["absent"].items()),
        *(f"- {note}." for note in gathered(told["notes"])),
    ]
    return "\n".join(lines)


def gathered(notes: Mapping[str, str]) -> list[str]:
    """Notes by "contender, scenario" as one line for each contender and note."""
    found: dict[tuple[str, str], list[str]] = {}
    for where, note in notes.items():
        contender, _, scenario = where.partition(", ")
        found.setdefault((contender, note), []).append(scenario)
    return [f"{contender}, {', '.join(scenarios)}: {note}" for (contender, note), scenarios in found.items()]


def markdown(table: Table) -> str:
    """The table, its first column to the left and all others to the right."""
    rows = [table.columns, ("---", *("---:" for _ in table.columns[1:])), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def splice(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of that name. Raises KeyError when the page has none."""
    begin, end = f"<!-- bench: {name} -->", "<!-- bench: end -->"
    made, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise KeyError(f"{begin} … {end} stands {count} times on the page")
    return made


def main(arguments: list[str]) -> int:
    source = Path(arguments[0]) if arguments else RESULTS
    try:
        results, told = load(source)
    except FileNotFoundError:
        sys.stderr.write(f"{source} is not there: run `make bench-full` first.\n")
        return 1
    texts = sections(results, told)
    for path, names in PAGES.items():
        page = path.read_text(encoding="utf-8")
        for name in names:
            page = splice(page, name, texts[name])
        path.write_text(page, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)} has the figures of {source}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
