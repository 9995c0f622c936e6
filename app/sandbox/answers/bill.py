"""What the stand-in has charged: one row per generation performed, whether or not a client received it. Kept in memory,
bounded; serves one event loop.
"""

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from app.images.catalog.model_spec import NANOUSD_PER_USD, ImagePrice, ModelSpec
from app.images.cost.pricing import price
from app.images.cost.usage import Usage

_PER_IMAGE: Final = "image"
_INPUT: Final = ("prompt", "image_input")
_OUTPUT: Final = ("completion", "image_output")
# query_dimension -> how a query_time, and the bizTime of the answer, are written; UTC.
_DIMENSIONS: Final[Mapping[str, str]] = {"BIZ_MTH": "%Y%m", "BIZ_DT": "%Y%m%d", "BIZ_HOUR": "%Y%m%d%H"}


@dataclass(slots=True)
class Row:
    """One generation. `cost_nanousd` is None if the model's price is unknown. `parts` are its parts, by ZenMux's names
    for kinds of tokens. `key` marks the key that pays. `client_left` may become true later.
    """

    request_id: str
    at: datetime
    model: str
    operation: str
    size: str
    quality: str
    n: int
    stream: bool
    partial_images: int
    usage: Usage
    cost_nanousd: int | None
    parts: Mapping[str, int] = field(default_factory=dict)
    client_left: bool = False
    key: str = ""

    def as_json(self) -> dict[str, object]:
        """The row as `GET /sandbox/bill` shows it."""
        return {
            "request_id": self.request_id,
            "at": self.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "key": self.key,
            "model": self.model,
            "operation": self.operation,
            "size": self.size,
            "quality": self.quality,
            "n": self.n,
            "stream": self.stream,
            "partial_images": self.partial_images,
            "input_tokens": self.usage.input_tokens,
            "input_text_tokens": self.usage.input_text_tokens,
            "input_image_tokens": self.usage.input_image_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_nanousd": self.cost_nanousd,
            "cost_usd": None if self.cost_nanousd is None else usd(self.cost_nanousd),
            "client_left": self.client_left,
        }


class Bill:
    """The rows, oldest first. Above `rows_max` the oldest are dropped and counted; the totals keep them."""

    def __init__(self, rows_max: int) -> None:
        self.rows: deque[Row] = deque(maxlen=rows_max)
        self.clear()

    def clear(self) -> None:
        """Empties the bill, totals included."""
        self.rows.clear()
        self.count = 0
        self.total_nanousd = 0

    def add(self, row: Row) -> None:
        """Charge for one generation."""
        self.rows.append(row)
        self.count += 1
        self.total_nanousd += row.cost_nanousd or 0

    def of_key(self, mark: str) -> tuple[Row, ...]:
        """The rows that one key pays."""
        return tuple(row for row in self.rows if row.key == mark)

    @property
    def dropped(self) -> int:
        return self.count - len(self.rows)


def usd(nanousd: int) -> str:
    """Nano-USD as US dollars, exactly, with nine decimals."""
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANOUSD_PER_USD)
    return f"{sign}{whole}.{rest:09d}"


def cost_parts(usage: Usage, n: int, spec: ModelSpec) -> dict[str, int]:
    """The cost of the generation by kind of token, as ZenMux's bills name them; empty if the price is unknown."""
    if isinstance(spec.prices, ImagePrice):
        return {_PER_IMAGE: price(usage, n, spec) or 0}
    kinds = {
        "prompt": Usage(input_text_tokens=usage.input_text_tokens),
        "image_input": Usage(input_image_tokens=usage.input_image_tokens),
        "completion": Usage(output_text_tokens=usage.output_text_tokens),
        "image_output": Usage(output_image_tokens=usage.output_image_tokens),
    }
    parts = {kind: price(part, n, spec) or 0 for kind, part in kinds.items()}
    return {kind: nanousd for kind, nanousd in parts.items() if nanousd}


class UnknownPeriod(ValueError):
    """The query's dimension or time is not written as the management API writes them."""


def cost_report(rows: Iterable[Row], dimension: str, time: str, models: Sequence[str]) -> dict[str, object]:
    """ZenMux's answer about the cost of one month, day or hour (UTC), for `models` only if there are any. Raises
    UnknownPeriod.

    Amounts are US dollars. It knows nothing of rows that were dropped from the bill.
    """
    written = _DIMENSIONS.get(dimension)
    if written is None:
        raise UnknownPeriod(f"query_dimension must be one of {', '.join(_DIMENSIONS)}")
    if not time.isdigit() or len(time) != len(datetime(2000, 1, 1, tzinfo=UTC).strftime(written)):
        raise UnknownPeriod(f"query_time must be digits, such as {datetime(2026, 11, 24, 9, tzinfo=UTC):{written}}")
    chosen = [
        row for row in rows if row.at.astimezone(UTC).strftime(written) == time and (not models or row.model in models)
    ]
    by_model = [
        {"bizTime": time, "modelSlug": model, "billAmount": _dollars(group), "requestCounts": len(group)}
        for model, group in _grouped(chosen)
    ]
    parts: Counter[str] = Counter()
    for row in chosen:
        parts.update(row.parts)
    total = _dollars(chosen)
    return {
        "summary": {
            "totalCost": total,
            "requestCounts": len(chosen),
            "requestAvgCost": total / len(chosen) if chosen else 0,
            "inputCost": sum(parts[kind] for kind in _INPUT) / NANOUSD_PER_USD,
            "outputCost": sum(parts[kind] for kind in _OUTPUT) / NANOUSD_PER_USD,
            "otherCost": parts[_PER_IMAGE] / NANOUSD_PER_USD,
            "totalTokens": sum(row.usage.total_tokens for row in chosen),
        },
        "analysis": {
            "costByModel": by_model,
            "costByTokenType": [
                {"tokenType": kind, "billAmount": nanousd / NANOUSD_PER_USD} for kind, nanousd in sorted(parts.items())
            ],
        },
    }


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for model, group in itertools.groupby(sorted(rows, key=lambda row: row.model), key=lambda row: row.model):
        yield model, list(group)


def _dollars(rows: Iterable[Row]) -> float:
    return sum(row.cost_nanousd or 0 for row in rows) / NANOUSD_PER_USD
