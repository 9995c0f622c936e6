"""Reads the tables of a catalog source key by key: every value checked for type and range, every fault with its entry
and line. Knows no key's meaning: file.py does."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NoReturn, Protocol

from app.errors import ConfigurationError

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}(:[A-Za-z0-9._-]{1,50})?")
_TOML_PLACE = re.compile(r"(?P<reason>.*) \(at line (?P<line>\d+), column \d+\)", re.DOTALL)  # else at the end


class CatalogError(ConfigurationError):
    """A catalog file is at fault. The message names the file, the line and the entry."""


class CatalogSource(Protocol):
    """Where entries of a catalog are written: it reads them, and names the line of a fault in them."""

    def parse(self) -> dict[str, object]:
        """The tables. Raises ConfigurationError that names the line."""

    def refuse(self, path: tuple[str, ...], message: str) -> NoReturn:
        """Raises ConfigurationError about the key or table at `path`, or what is around it."""


@dataclass(frozen=True, slots=True)
class TomlSource:
    """One catalog file: its name for messages, and its text."""

    name: str
    text: str

    def parse(self) -> dict[str, object]:
        """The file's tables. Raises CatalogError that names the line."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            place = _TOML_PLACE.fullmatch(str(error))
            line = place["line"] if place else len(self.text.splitlines())
            reason = place["reason"] if place else str(error)
            raise CatalogError(f"{self.name}, line {line}: not valid TOML: {reason}") from None

    def refuse(self, path: tuple[str, ...], message: str) -> NoReturn:
        """Raises CatalogError about the key or table at `path`."""
        entry = ".".join(part if part.isidentifier() else f'"{part}"' for part in path)
        raise CatalogError(f"{self.name}, line {self.line_of(path)}: {entry}: {message}")

    def line_of(self, path: tuple[str, ...]) -> int:
        """The line of the key or table at `path`, or else of the nearest table around it."""
        best = (0, 1)
        for number, here in self._headings():
            shared = next((i for i, (a, b) in enumerate(zip(here, path, strict=False)) if a != b), None)
            best = max(best, (min(len(here), len(path)) if shared is None else shared, -number))
        return abs(best[1])

    def _headings(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """(line, path) of every table header and every line that looks like `key = value`."""
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), start=1):
            if line.lstrip().startswith("["):
                table = _keys_of(line)
                yield number, table
            elif "=" in line:
                yield number, table + _keys_of(line.split("=", 1)[0] + "= 0")


def _keys_of(line: str) -> tuple[str, ...]:
    """The dotted keys of a TOML header or assignment; () for a line that is neither."""
    try:
        table: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys: list[str] = []
    while isinstance(table, dict) and table:
        keys.append(next(iter(table)))
        table = table[keys[-1]]
    return tuple(keys)


class Entry:
    """One table, read key by key. Every reader checks type and range and raises ConfigurationError."""

    def __init__(self, source: CatalogSource, path: tuple[str, ...], table: object) -> None:
        if not isinstance(table, dict):
            source.refuse(path, "must be a table of keys and values")
        self._source, self._path, self._table = source, path, table
        self._unread = set(table)

    def refuse(self, key: str | None, message: str) -> NoReturn:
        """Raises ConfigurationError about a key of this table, or about the table itself."""
        if key is not None and key not in self._table:
            message = f"missing; {message}"
        self._source.refuse(self._path if key is None else (*self._path, key), message)

    def has(self, key: str) -> bool:
        """Whether the table has the key."""
        return key in self._table

    def tables(self) -> dict[str, dict[str, object]]:
        """The tables in this one, by name."""
        for name, table in self._table.items():
            if not isinstance(table, dict):
                self.refuse(name, "must be a table of keys and values")
        return dict(self._table)

    def finish(self) -> None:
        """Refuses keys that nobody read: a misspelt rule must not be ignored silently."""
        for key in sorted(self._unread):
            self.refuse(key, "unknown key")

    def table(self, key: str) -> "Entry":
        """The table under the key; an empty one if there is none."""
        return Entry(self._source, (*self._path, key), self._take(key, {}))

    def word(self, key: str, shape: re.Pattern[str] = WORD, default: str | None = None) -> str:
        """A text that matches `shape`. Without a default the key must be there."""
        value = self._take(key, default)
        if not isinstance(value, str) or not shape.fullmatch(value):
            self.refuse(
                key,
                "must be a name in plain letters, digits and . _ -"
                if shape is not MODEL_ID
                else "must be written provider/model",
            )
        return value

    def words(self, key: str, shape: re.Pattern[str] = WORD, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of different texts that match `shape`; `default` if the key is not there."""
        value = self._take(key, list(default))
        if not isinstance(value, list) or not all(isinstance(w, str) and shape.fullmatch(w) for w in value):
            self.refuse(key, "must be a list of names in plain letters, digits and . _ -")
        if len(set(value)) != len(value):
            self.refuse(key, "names the same thing twice")
        return tuple(value)

    def integer(self, key: str, lowest: int, highest: int, default: int | None = None) -> int:
        """A whole number from `lowest` to `highest`. Without a default the key must be there."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.refuse(key, f"must be a whole number from {lowest} to {highest}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean; `default` if the key is not there."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "must be true or false")
        return value

    def day(self, key: str) -> date | None:
        """A date; None if the key is not there."""
        value = self._take(key, None)
        if isinstance(value, datetime) or not isinstance(value, date | None):
            self.refuse(key, "must be a date, such as 2026-12-01")
        return value

    def dollars(self, key: str, decimals: int) -> int:
        """A price written as text, with at most that many decimals, as a whole number of 10^-decimals dollars."""
        value = self._take(key, None)
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9]{{1,6}}(\.[0-9]{{1,{decimals}}})?", value):
            self.refuse(key, f'must be dollars as text, such as "0.5", with at most {decimals} decimals')
        return int(Decimal(value).scaleb(decimals))

    def _take(self, key: str, default: object) -> object:
        self._unread.discard(key)
        return self._table.get(key, default)
