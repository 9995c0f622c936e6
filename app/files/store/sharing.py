"""Whether the living processes of one database all see the same files. Each leaves a mark under its own name; where one
process cannot see another's mark, a link may lead to a gateway that does not have the file.
"""

import re
from collections.abc import Iterable

from app.files.store.place import FilePlace

_PREFIX = "gateway-"
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def mark_name(instance: str) -> str:
    """The name of that process's mark."""
    assert _INSTANCE.fullmatch(instance)
    return f"{_PREFIX}{instance}"


def instance_of(name: str) -> str | None:
    """Whose mark has that name; None if it is no mark."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def without_mark(place: FilePlace, instances: Iterable[str]) -> list[str]:
    """Those of `instances` that keep their files elsewhere. Blocks. Raises OSError."""
    missing = []
    for instance in instances:
        content = place.open(mark_name(instance))
        if content is None:
            missing.append(instance)
        else:
            content.close()
    return missing
