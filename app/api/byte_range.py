"""The part of a file that a Range header asks for. Pure."""

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class ByteRange(NamedTuple):
    """The bytes from `start` to `stop`. `is_partial`: a part was asked for. `start` at the end: it has no such part."""

    start: int
    stop: int
    is_partial: bool


def asked_part(header: str | None, size: int) -> ByteRange:
    """What is to be sent of a file of `size` bytes. Several ranges, other units and nonsense mean the whole file, as
    HTTP allows.
    """
    found = None if header is None else _ONE_RANGE.fullmatch(header)
    if found is None or found.groups() == ("", ""):
        return ByteRange(0, size, is_partial=False)
    first, last = found.groups()
    if not first:
        return (
            ByteRange(max(0, size - int(last)), size, is_partial=True)
            if int(last)
            else ByteRange(size, size, is_partial=True)
        )
    start, stop = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return ByteRange(0, size, is_partial=False)
    return ByteRange(min(start, size), stop, is_partial=True)
