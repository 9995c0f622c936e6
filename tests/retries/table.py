"""The table in docs/retries.md: written from what was measured, and read back."""

from collections.abc import Mapping, Sequence

from tests.retries.clients import CLIENTS, ROOT
from tests.retries.measuring import TROUBLES, Outcome

PAGE = ROOT / "docs/retries.md"
_BEGIN, _END = "<!-- retries: clients -->\n", "<!-- retries: end -->\n"


def write(measured: Mapping[str, Sequence[Outcome]]) -> None:
    """Puts in what each client, by its name, did in every trouble. The rows of other clients stay."""
    rows = read() | {name: [found[0].version, *(each.cell for each in found)] for name, found in measured.items()}
    head = ["client", "version", *(trouble.name for trouble in TROUBLES)]
    lines = [head, ["---"] * len(head), *([each.name, *rows[each.name]] for each in CLIENTS if each.name in rows)]
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    before, _, after = _parts()
    PAGE.write_text(before + _BEGIN + table + _END + after, encoding="utf-8")


def read() -> dict[str, list[str]]:
    """Each client's name → its version and its cells."""
    _, table, _ = _parts()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


def _parts() -> tuple[str, str, str]:
    """The page before the table, the table, and the page behind it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    table, _, after = rest.partition(_END)
    return before, table, after
