"""Which fields of an object a file sets: kept beside the object, so that no other way may change them. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import Conflict


@dataclass(frozen=True, slots=True)
class Managed:
    """`file` sets these fields of an object. `made`: the file made the object, so `apply --prune` may disable it."""

    file: str
    made: bool
    fields: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str | None) -> "Managed | None":
        """The mark in an object's row."""
        if not text:
            return None
        mark = json.loads(text)
        return cls(mark["file"], mark["made"], frozenset(mark["fields"]))

    @property
    def text(self) -> str:
        """As the object's row keeps it."""
        return json.dumps({"file": self.file, "made": self.made, "fields": sorted(self.fields)}, ensure_ascii=False)


def refuse_managed(managed_by: str | None, whose: str, fields: Iterable[str]) -> None:
    """Every door but `apply` asks before it changes these fields. Raises Conflict that names the file."""
    managed = Managed.read(managed_by)
    found = sorted(managed.fields.intersection(fields)) if managed else []
    if managed is not None and found:
        which = f"the {' and the '.join(found)} {'is' if len(found) == 1 else 'are'}"
        raise Conflict(f"{whose}: {which} set by the file {managed.file}. Change it there, and apply the file.")


def refuse_renaming(managed_by: str | None, whose: str) -> None:
    """The same for a name. Raises Conflict also where the file has dropped the object: it may come back."""
    managed = Managed.read(managed_by)
    if managed is not None:
        raise Conflict(f"{whose}: the file {managed.file} knows it by its name, so the name stays as it is.")
