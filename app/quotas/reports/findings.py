"""An audit finding: severity, check, subject, message. Pure values."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice


class Severity(StrEnum):
    """`error`: the ledger is wrong. `warning`: look at it. `info`: correct, and worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `check` is a closed word, `subject` an id or a counter's name."""

    severity: Severity
    check: str
    subject: str
    message: str


def summarized(findings: Iterable[Finding], maximum: int = 100) -> Iterator[Finding]:
    """At most `maximum` findings of one check, then one with the number of the rest: millions of findings must not fill
    the memory.
    """
    remaining = iter(findings)
    last = None
    for last in islice(remaining, maximum):
        yield last
    more = sum(1 for _ in remaining)
    if more and last is not None:
        yield Finding(last.severity, last.check, "", f"and {more} more like these")
