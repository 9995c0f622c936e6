"""Charts as SVG: stacked bars over days, and the bar of a limit. Pure; no style attributes, so a strict policy allows
them. Each has its numbers as a table beside it, so the drawing is hidden from screen readers' details.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 220
SERIES_MAX = 6
OTHERS = "others"

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 26
_LABELS_MAX = 8


@dataclass(frozen=True, slots=True)
class Column:
    """One bar: its label, and what each series adds to it."""

    label: str
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def largest(columns: Sequence[Column], most: int = SERIES_MAX) -> tuple[list[str], list[Column]]:
    """The names of the largest series, the largest first, and the columns with all others under OTHERS."""
    sums: dict[str, int] = {}
    for column in columns:
        for name, value in column.parts.items():
            sums[name] = sums.get(name, 0) + value
    ranked = sorted((name for name in sums if sums[name]), key=lambda name: (-sums[name], name))
    if len(ranked) <= most:
        return ranked, list(columns)
    kept = ranked[: most - 1]
    merged = []
    for column in columns:
        parts = {name: value for name, value in column.parts.items() if name in kept}
        rest = column.total - sum(parts.values())
        merged.append(Column(column.label, {**parts, OTHERS: rest} if rest else parts))
    return [*kept, OTHERS], merged


def stacked_bars(title: str, columns: Sequence[Column], names: Sequence[str], words: Callable[[int], str]) -> str:
    """The chart of `columns`, whose series have the colours of their places in `names`. `words` writes an amount."""
    top = _ceiling(max((column.total for column in columns), default=0))
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    step = inner_width / max(1, len(columns))
    width = min(step * 0.72, 42.0)
    drawn = [_axis(top, inner_height, words)]
    every = max(1, ceil(len(columns) / _LABELS_MAX))
    for place, column in enumerate(columns):
        left = _LEFT + place * step + (step - width) / 2
        drawn.append(_bar(column, names, (left, width, top, inner_height), words))
        if place % every == 0:
            middle = left + width / 2
            drawn.append(f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">')
            drawn.append(f"{escape(column.label)}</text>")
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(drawn)}</svg>"
    )


def limit_bar(settled_ratio: float, pending_ratio: float, label: str) -> str:
    """How much of a limit is used, and beside it how much is held by what runs. Ratios of the limit's amount."""
    settled = min(1.0, max(0.0, settled_ratio))
    pending = min(1.0 - settled, max(0.0, pending_ratio))
    state = "bad" if settled_ratio + pending_ratio >= 1 else "warn" if settled_ratio + pending_ratio >= 0.8 else "ok"
    return (
        f'<svg class="limit-bar {state}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label, quote=True)}"><rect class="rail" width="100" height="6"/>'
        f'<rect class="used" width="{settled * 100:.1f}" height="6"/>'
        f'<rect class="held" x="{settled * 100:.1f}" width="{pending * 100:.1f}" height="6"/></svg>'
    )


def heat_steps(values: Sequence[int | None], steps: int = 5) -> list[int]:
    """For each value a step from 1 (the least) to `steps` (the most), on a logarithmic scale; 0 for nothing."""
    known = [value for value in values if value]
    if not known:
        return [0 for _ in values]
    low, high = log10(min(known)), log10(max(known))
    width = (high - low) or 1.0
    return [0 if not value else 1 + min(steps - 1, floor((log10(value) - low) / width * steps)) for value in values]


def _bar(
    column: Column, names: Sequence[str], place: tuple[float, float, int, int], words: Callable[[int], str]
) -> str:
    left, width, top, inner_height = place
    said = ", ".join(f"{name} {words(column.parts[name])}" for name in names if column.parts.get(name))
    drawn = [f"<g><title>{escape(f'{column.label}: {said or words(0)}')}</title>"]
    base = float(_TOP + inner_height)
    for number, name in enumerate(names, start=1):
        value = column.parts.get(name, 0)
        height = value / top * inner_height if top else 0.0
        if height <= 0:
            continue
        base -= height
        drawn.append(
            f'<rect class="series-{number}" x="{left:.1f}" y="{base:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )
    return "".join([*drawn, "</g>"])


def _axis(top: int, inner_height: int, words: Callable[[int], str]) -> str:
    drawn = []
    for quarter in (0, 2, 4):
        y = _TOP + inner_height - quarter / 4 * inner_height
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = words(top * quarter // 4)
        drawn.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    return "".join(drawn)


def _ceiling(value: int) -> int:
    """The next 1, 2 or 5 times a power of ten: an axis with round numbers. 0 for nothing."""
    if value <= 0:
        return 0
    power = 10 ** floor(log10(value))
    return next(int(power * step) for step in (1, 2, 5, 10) if power * step >= value)
