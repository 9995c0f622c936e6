"""Reads catalog files: TOML tables → ModelSpec values. Every fault names its entry and line. catalog.toml explains the
keys.
"""

import calendar
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NoReturn

from app.errors import ConfigurationError
from app.images.catalog.model_spec import (
    AUTO,
    MODEL_ID_MAX,
    RECORDED_WORD_MAX,
    AreaTokens,
    FlatTokens,
    ImagePrice,
    ModelSpec,
    Prices,
    TableTokens,
    TokenPrices,
    TokenRule,
)
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList, SizeRule, parse_size

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}(:[A-Za-z0-9._-]{1,50})?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RECORDED_WORD = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{RECORDED_WORD_MAX - 1}}}")
_PARAMETERS = (  # of an entry that lists no parameters
    *("prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"),
    *("stream", "partial_images", "user", "safety_identifier"),
)
_TOML_PLACE = re.compile(r"(?P<reason>.*) \(at line (?P<line>\d+), column \d+\)", re.DOTALL)  # else at the end
_TOKENS_MAX = 10_000_000
_EDGE_MAX = 16_384


class CatalogError(ConfigurationError):
    """A catalog file is at fault. The message names the file, the line and the entry."""


@dataclass(frozen=True, slots=True)
class Source:
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
    """One table, read key by key. Every reader checks type and range and raises CatalogError."""

    def __init__(self, source: Source, path: tuple[str, ...], table: object) -> None:
        if not isinstance(table, dict):
            source.refuse(path, "must be a table")
        self._source, self._path, self._table = source, path, table
        self._unread = set(table)

    def refuse(self, key: str | None, message: str) -> NoReturn:
        """Raises CatalogError about a key of this table, or about the table itself."""
        if key is not None and key not in self._table:
            message = f"missing; {message}"
        self._source.refuse(self._path if key is None else (*self._path, key), message)

    def has(self, key: str) -> bool:
        return key in self._table

    def tables(self) -> dict[str, dict[str, object]]:
        """The tables in this one, by name."""
        for name, table in self._table.items():
            if not isinstance(table, dict):
                self.refuse(name, "must be a table")
        return dict(self._table)

    def finish(self) -> None:
        """Refuses keys that nobody read: a misspelt rule must not be ignored silently."""
        for key in sorted(self._unread):
            self.refuse(key, "unknown key")

    def table(self, key: str) -> "Entry":
        return Entry(self._source, (*self._path, key), self._take(key, {}))

    def word(self, key: str, shape: re.Pattern[str] = _WORD, default: str | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str) or not shape.fullmatch(value):
            self.refuse(
                key,
                "must be a name in plain letters, digits and . _ -"
                if shape is not _MODEL_ID
                else "must be written provider/model",
            )
        return value

    def words(self, key: str, shape: re.Pattern[str] = _WORD, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._take(key, list(default))
        if not isinstance(value, list) or not all(isinstance(w, str) and shape.fullmatch(w) for w in value):
            self.refuse(key, "must be a list of names in plain letters, digits and . _ -")
        if len(set(value)) != len(value):
            self.refuse(key, "names the same thing twice")
        return tuple(value)

    def integer(self, key: str, lowest: int, highest: int, default: int | None = None) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.refuse(key, f"must be a whole number from {lowest} to {highest}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "must be true or false")
        return value

    def day(self, key: str) -> date | None:
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


def read_model(source: Source, name: str, table: object) -> ModelSpec:
    """The model of an entry that inherits nothing more. Raises CatalogError."""
    entry = Entry(source, ("models", name), table)
    if not MODEL_NAME.fullmatch(name):
        entry.refuse(None, "the name of an entry is bare: plain letters, digits and . _ -")
    id_ = entry.word("id", _MODEL_ID)
    if len(id_) > MODEL_ID_MAX:
        entry.refuse("id", f"must have at most {MODEL_ID_MAX} characters")
    sizes, qualities = _sizes(entry.table("sizes")), entry.words("qualities", _RECORDED_WORD)
    prices = _prices(entry.table("prices")) if entry.has("prices") else None
    created = entry.day("created")
    spec = ModelSpec(
        id=id_,
        name=name,
        aliases=entry.words("aliases"),
        created=calendar.timegm(created.timetuple()) if created else 0,
        owned_by=entry.word("owned_by", default=id_.split("/")[0]),
        ends_on=entry.day("ends_on"),
        parameters=frozenset(entry.words("parameters", default=_PARAMETERS)) | {"model", "prompt"},
        open=entry.flag("open", default=False),
        prompt_chars_max=entry.integer("prompt_chars_max", 1, 1_000_000, 32_000),
        n_max=entry.integer("n_max", 1, 100, 10),
        sizes=sizes,
        qualities=qualities,
        output_formats=entry.words("output_formats"),
        backgrounds=entry.words("backgrounds"),
        transparent_background=entry.flag("transparent_background", default=True),
        moderations=entry.words("moderations"),
        token_rule=_tokens(entry, sizes, qualities, prices),
        text_output_tokens_max=entry.integer("text_output_tokens_max", 0, _TOKENS_MAX, 0),
        input_image_tokens_max=entry.integer("input_image_tokens_max", 0, _TOKENS_MAX, 1536),
        prices=prices,
        hold_nanousd=entry.dollars("hold_usd", 9) if entry.has("hold_usd") else None,
    )
    entry.finish()
    if (spec.prices is None) == (spec.hold_nanousd is None):
        entry.refuse("hold_usd", "give either prices, or hold_usd for a model whose price is not known")
    return spec


def _sizes(entry: Entry) -> SizeRule:
    rule: SizeRule
    match entry.word("rule", default="any"):
        case "any":
            rule = AnySize()
        case "list":
            rule = SizeList(entry.words("values", _RECORDED_WORD))
            if not rule.values or not all(parse_size(size) for size in rule.values):
                entry.refuse("values", "must be sizes written WIDTHxHEIGHT")
        case "bounds":
            pixels_min = entry.integer("pixels_min", 1, _EDGE_MAX**2)
            pixels_max = entry.integer("pixels_max", pixels_min, _EDGE_MAX**2)
            rule = SizeBounds(
                multiple_of=entry.integer("multiple_of", 1, _EDGE_MAX),
                edge_max=entry.integer("edge_max", 1, _EDGE_MAX),
                ratio_max=entry.integer("ratio_max", 1, 100),
                pixels_min=pixels_min,
                pixels_max=pixels_max,
                auto_pixels_max=entry.integer("auto_pixels_max", 1, pixels_max, pixels_max),
            )
            if rule.nearest(1024, 1024) is None:
                entry.refuse(None, "these bounds leave no valid size")
        case _:
            entry.refuse("rule", "must be bounds, list or any")
    entry.finish()
    return rule


def _tokens(model: Entry, sizes: SizeRule, qualities: tuple[str, ...], prices: Prices | None) -> TokenRule:
    sold_by_the_image = not isinstance(prices, TokenPrices)
    if not model.has("tokens") and sold_by_the_image:
        return FlatTokens(0)
    entry = model.table("tokens")
    named = [quality for quality in qualities if quality != AUTO]
    rule: TokenRule
    match entry.word("rule", default=""):
        case "flat":
            rule = FlatTokens(entry.integer("per_image", 0, _TOKENS_MAX))
        case "area" | "measured" as kind:
            if isinstance(sizes, AnySize) or not named:
                entry.refuse("rule", f"{kind} needs qualities, and sizes by bounds or list")
            base = _figures(entry.table("base"), named, highest=1000)
            exact = kind == "area"
            percent = dict.fromkeys(named, 100) if exact else _figures(entry.table("percent"), named, highest=10_000)
            rule = AreaTokens(base, percent)
        case "table":
            if not isinstance(sizes, SizeList) or not named:
                entry.refuse("rule", "table needs qualities, and sizes by list")
            rule = TableTokens({quality: _figures(entry.table(quality), sizes.values) for quality in named})
        case _:
            entry.refuse("rule", "must be area, measured, table or flat")
    entry.finish()
    return rule


def _figures(entry: Entry, names: "list[str] | tuple[str, ...]", highest: int = _TOKENS_MAX) -> Mapping[str, int]:
    """One positive whole number for each of the names."""
    figures = {name: entry.integer(name, 1, highest) for name in names}
    entry.finish()
    return figures


def _prices(entry: Entry) -> Prices:
    prices: Prices
    if entry.has("per_image"):
        if any(entry.has(key) for key in ("text_in", "image_in", "image_out", "text_out")):
            entry.refuse("per_image", "stands alone: a model is sold by the image or by the token")
        prices = ImagePrice(entry.dollars("per_image", 9))
    else:
        # Three decimals per million tokens are whole nano-dollars per token.
        text_in, image_in, image_out = (entry.dollars(key, 3) for key in ("text_in", "image_in", "image_out"))
        text_out = entry.dollars("text_out", 3) if entry.has("text_out") else None
        if text_out is not None and text_out > image_out:
            entry.refuse("text_out", "must not be above image_out: output that is not itemised is priced as image")
        prices = TokenPrices(text_in, image_in, image_out, text_out)
    entry.finish()
    return prices
