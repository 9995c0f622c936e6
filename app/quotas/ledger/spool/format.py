"""Resolutions as lines of a spool file: JSON after its checksum, so that a cut or damaged line is never misread. Pure;
file.py has the files.
"""

import json
from binascii import crc32
from dataclasses import astuple, dataclass
from typing import Any

from app.database.clock import from_ms, to_ms
from app.images.cost.usage import Usage
from app.quotas.ledger.commands import Resolve, check_settlement
from app.quotas.rules.reservation import Amounts, Settlement, State, UsageSource

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Contents:
    """What could be read of a file, in its order. `unreadable`: how many lines are damaged or of another version.

    A last line that was cut, as by a crash during the write, is not counted: nobody was promised that it is kept.
    """

    resolutions: tuple[Resolve, ...]
    unreadable: int


def spool_line(resolution: Resolve) -> bytes:
    """One line in ASCII, including its end. Times are kept to the millisecond, as in the ledger."""
    settlement = resolution.settlement
    fields = {
        "v": _VERSION,
        "id": resolution.reservation_id,
        "state": settlement.state.value,
        "outcome": settlement.outcome,
        "usage_source": settlement.usage_source.value,
        "charged": settlement.charged,
        "usage": None if settlement.usage is None else astuple(settlement.usage),
        "priced": settlement.priced,
        "client_left": settlement.client_left,
        "upstream_status": settlement.upstream_status,
        "upstream_request_id": settlement.upstream_request_id,
        "first_byte_ms": settlement.first_byte_ms,
        "duration_ms": settlement.duration_ms,
        "resolved_at_ms": to_ms(settlement.resolved_at),
    }
    text = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (crc32(text), text)


def read_spool(data: bytes) -> Contents:
    """Everything in `data` that is whole. Never raises."""
    *lines, rest = data.split(b"\n")
    read = [_resolution(line) for line in lines]
    last = _resolution(rest)  # everything but the line's end may have been written
    found = [resolution for resolution in (*read, last) if resolution is not None]
    return Contents(tuple(found), unreadable=read.count(None))


def _resolution(line: bytes) -> Resolve | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        return None
    try:
        resolution = _from_fields(json.loads(text))
        check_settlement(resolution.settlement)
    except (KeyError, TypeError, ValueError):
        return None
    return resolution


def _from_fields(fields: dict[str, Any]) -> Resolve:
    if fields["v"] != _VERSION:
        raise ValueError(f"a line of version {fields['v']}")
    return Resolve(
        fields["id"],
        Settlement(
            state=State(fields["state"]),
            outcome=fields["outcome"],
            usage_source=UsageSource(fields["usage_source"]),
            charged=Amounts(*fields["charged"]),
            usage=None if fields["usage"] is None else Usage(*fields["usage"]),
            priced=fields["priced"],
            client_left=fields["client_left"],
            upstream_status=fields["upstream_status"],
            upstream_request_id=fields["upstream_request_id"],
            first_byte_ms=fields["first_byte_ms"],
            duration_ms=fields["duration_ms"],
            resolved_at=from_ms(fields["resolved_at_ms"]),
        ),
    )
