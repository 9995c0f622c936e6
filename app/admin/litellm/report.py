"""What an import did not carry over, or not as it was. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class ImportRow(NamedTuple):
    """`what` is team, user, key, model or setting; `field` is LiteLLM's name for the part; `note` says what became of
    it.
    """

    what: str
    name: str
    field: str
    note: str


@dataclass(slots=True)
class ImportReport:
    """Rows in the order in which they were found."""

    rows: list[ImportRow] = field(default_factory=list)

    def add(self, what: str, name: str, part: str, note: str) -> None:
        self.rows.append(ImportRow(what, name, part, note))

    def grouped(self) -> list[tuple[ImportRow, int]]:
        """One row for each kind of thing and note, with how often it is there; its `name` is the first one."""
        counts = Counter((row.what, row.field, row.note) for row in self.rows)
        first = {(row.what, row.field, row.note): row for row in reversed(self.rows)}
        return [(first[group], count) for group, count in counts.items()]
