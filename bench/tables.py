"""Results as tables of text: every contender's figures, and this gateway's ratios to the others. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import DIRECT, Results, Spread
from bench.scenarios import (
    HUGE,
    IN_FLIGHT,
    LARGE,
    MANY,
    MANY_IMAGES,
    MEDIUM,
    MOST,
    SLOW,
    SLOW_BOUNDED,
    SMALL,
    SMALL_MANY,
    START,
    STORED,
    STREAM,
    STREAM_GAPS,
    UPLOADS,
)

SUBJECT = "gateway"
NOTHING = "–"
DISTURBED = "!"


@dataclass(frozen=True)
class Table:
    """A title, the columns' heads, and rows of as many cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Measure:
    """One figure of one scenario, and how it is written. `per`: what it is divided by; `added`: to the rig's own."""

    head: str
    scenario: str
    figure: str
    form: str = "{:.2f}"
    tls: bool = False
    per: float = 1.0
    added: bool = False


def _small(*, tls: bool) -> tuple[Measure, ...]:
    many, one = SMALL_MANY.name, SMALL.name
    return (
        Measure("c=32 req/s", many, "requests_per_second", "{:,.0f}", tls),
        Measure("CPU ms/req", many, "cpu_ms_per_request", "{:.3f}", tls),
        Measure("p50 ms", many, "latency_p50_ms", "{:.2f}", tls),
        Measure("p99 ms", many, "latency_p99_ms", "{:.2f}", tls),
        Measure("c=1 p50 ms", one, "latency_p50_ms", "{:.3f}", tls),
        Measure("c=1 p99 ms", one, "latency_p99_ms", "{:.3f}", tls),
        Measure("c=1 added p50 ms", one, "latency_p50_ms", "{:.3f}", tls, added=True),
        Measure("c=1 added p99 ms", one, "latency_p99_ms", "{:.3f}", tls, added=True),
    )


def _large(*, tls: bool) -> tuple[Measure, ...]:
    sizes = (MEDIUM.name, LARGE.name, HUGE.name)
    return (
        *(Measure(f"{size} MB/s", size, "mb_per_second", "{:,.0f}", tls) for size in sizes),
        *(Measure(f"{size} CPU s/GB", size, "cpu_s_per_gb", "{:.2f}", tls) for size in sizes),
        Measure("8MB first byte ms", LARGE.name, "first_byte_p50_ms", "{:.2f}", tls),
        Measure("30MB peak RSS MB", HUGE.name, "peak_rss_mb", "{:.0f}", tls),
    )


def _streams(*, tls: bool) -> tuple[Measure, ...]:
    return (
        Measure("MB/s", STREAM.name, "mb_per_second", "{:,.0f}", tls),
        Measure("CPU s/GB", STREAM.name, "cpu_s_per_gb", "{:.2f}", tls),
        Measure("gaps: first byte ms", STREAM_GAPS.name, "first_byte_p50_ms", "{:.2f}", tls),
        Measure("gaps: first event ms", STREAM_GAPS.name, "first_event_p50_ms", "{:.2f}", tls),
        Measure("gaps: after silence ms", STREAM_GAPS.name, "after_silence_p50_ms", "{:.2f}", tls),
        Measure("gaps: CPU s/GB", STREAM_GAPS.name, "cpu_s_per_gb", "{:.2f}", tls),
    )


def _uploads(*, tls: bool) -> tuple[Measure, ...]:
    return (
        *(Measure(f"{one.name} MB/s", one.name, "mb_per_second", "{:,.0f}", tls) for one in UPLOADS),
        *(Measure(f"{one.name} CPU s/GB", one.name, "cpu_s_per_gb", "{:.2f}", tls) for one in UPLOADS),
        *(Measure(f"{one.name} peak RSS MB", one.name, "peak_rss_mb", "{:.0f}", tls) for one in UPLOADS),
    )


_STORED = (
    *(Measure(f"{one.name} MB/s", one.name, "mb_per_second", "{:,.0f}") for one in STORED),
    *(Measure(f"{one.name} CPU s/GB", one.name, "cpu_s_per_gb", "{:.2f}") for one in STORED),
    *(Measure(f"{one.name} first byte ms", one.name, "first_byte_p50_ms") for one in STORED),
)
_MEMORY = (
    Measure("start s", START.name, "start_seconds"),
    Measure("idle RSS MB", START.name, "idle_rss_mb", "{:.0f}"),
    Measure("slow: begun", SLOW.name, "begun", "{:.0f}"),
    Measure("RSS MB/reader", SLOW.name, "growth_mb", "{:.2f}", per=SLOW.connections),
    Measure("kernel TCP MB/reader", SLOW.name, "kernel_tcp_mb", "{:.2f}", per=SLOW.connections, added=True),
    Measure(
        "kernel TCP MB/reader, bounded", SLOW_BOUNDED.name, "kernel_tcp_mb", per=SLOW_BOUNDED.connections, added=True
    ),
    Measure("500 in flight: answered", IN_FLIGHT.name, "answered", "{:.0f}"),
    Measure("over s", IN_FLIGHT.name, "over_seconds"),
    Measure("RSS +MB", IN_FLIGHT.name, "growth_mb", "{:.1f}"),
)

_MANY = tuple(
    measure
    for one in (MANY, MANY_IMAGES, MOST)
    for measure in (
        Measure(f"{one.name}: answered", one.name, "answered", "{:,.0f}"),
        Measure("over s", one.name, "over_seconds"),
        Measure("RSS +KB each", one.name, "growth_mb", "{:.0f}", per=one.connections / 1000),
        Measure("CPU ms/req", one.name, "cpu_ms_per_request", "{:.3f}"),
    )
)

SECTIONS: tuple[tuple[str, tuple[Measure, ...]], ...] = (
    ("Small answers: 2 KB", _small(tls=False)),
    ("Large answers", _large(tls=False)),
    ("Streams: three partial images of 1.5 MB and one of 2 MB", _streams(tls=False)),
    ("Edits: one image in a form, answered with 2 KB", _uploads(tls=False)),
    ("A file behind a link and a stored answer, beside nginx's static files", _STORED),
    ("Small answers, TLS to the upstream", _small(tls=True)),
    ("Large answers, TLS to the upstream", _large(tls=True)),
    ("Streams, TLS to the upstream", _streams(tls=True)),
    ("Edits, TLS to the upstream", _uploads(tls=True)),
    ("Start, slow readers of 30 MB, requests in flight", _MEMORY),
    ("Many at once, of four users, each answered after 10 s: 2 KB, images of 1.5 MB, and 10,000 of 2 KB", _MANY),
)


def absolute_tables(results: Results) -> list[Table]:
    """A table for every section of which something was measured, with the columns of which something was."""
    made = []
    for title, measures in SECTIONS:
        shown = [one for one in measures if any(_read(results, name, one) for name in results.contenders)]
        if shown:
            rows = tuple((name, *(cell(results, name, measure) for measure in shown)) for name in results.contenders)
            made.append(Table(title, ("contender", *(measure.head for measure in shown)), rows))
    return made


def ratio_table(results: Results) -> Table:
    """How this gateway compares: each figure of its own, divided by each other's of the same round."""
    others = [name for name in results.contenders if name != SUBJECT]
    rows = []
    for measure in (measure for _, measures in SECTIONS for measure in measures if not measure.added):
        if (own := cell(results, SUBJECT, measure)) == NOTHING:
            continue
        where = (measure.scenario, measure.figure)
        ratios = [results.ratio(SUBJECT, other, *where, tls=measure.tls) for other in others]
        head = f"{measure.scenario}{' TLS' if measure.tls else ''}: {measure.figure.replace('_', ' ')}"
        rows.append((head, own, *(spread_text(ratio, "{:.2f}") for ratio in ratios)))
    return Table(f"{SUBJECT} ÷ others", ("figure", SUBJECT, *(f"÷ {other}" for other in others)), tuple(rows))


def ledger_tables(pairs: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What bench/ledger.py found, if it ran."""
    rows = tuple(
        (
            {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[pair["engine"]],
            f"{pair['keys']:,}",
            f"{pair['concurrency']:.0f}",
            f"{pair['pairs_per_second']:,.0f}",
            f"{pair['cpu_us_per_pair']:.1f}",
            f"{pair['p50_ms']:.2f}",
            f"{pair['p99_ms']:.2f}",
        )
        for pair in pairs
    )
    heads = ("engine", "keys", "callers at a time", "pairs/s", "CPU µs a pair", "p50 ms", "p99 ms")
    return [Table("Ledger: one reservation and one settlement, each commit on the disk", heads, rows)] if rows else []


def reader_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What bench/readers.py found, if it ran."""
    told = tuple(
        (
            row["who"],
            f"{row['callers']}, {row['waits_ms'] / 1000:.0f} s at ZenMux",
            f"{row['images']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
            f"{row['p95_ratio']:.3f}",
            f"{row['cpu_ms']:.1f}" if row["cpu_ms"] else NOTHING,
        )
        for row in rows
    )
    heads = ("beside", "callers at a time", "images", "p50 ms", "p95 ms", "p95 ÷ beside nobody", "CPU ms a refresh")
    return Table("Images of 2 KB beside those who read, with a million records", heads, told)


def cell(results: Results, contender: str, measure: Measure) -> str:
    """A contender's figure as text; why there is none, where the contender is the reason."""
    found = _read(results, contender, measure)
    if found is None:
        return results.refusal(contender, measure.scenario, tls=measure.tls)[:40] or NOTHING
    scaled = Spread(found.low / measure.per, found.middle / measure.per, found.high / measure.per, found.disturbed)
    return spread_text(scaled, measure.form)


def _read(results: Results, contender: str, measure: Measure) -> Spread | None:
    if not measure.added:
        return results.of(contender, measure.scenario, measure.figure, tls=measure.tls)
    return None if contender == DIRECT else results.added(contender, measure.scenario, measure.figure, tls=measure.tls)


def spread_text(found: Spread | None, form: str) -> str:
    """`median (lowest–highest)`, the brackets only where they say something; a mark where all rounds were disturbed."""
    if found is None:
        return NOTHING
    low, middle, high = (form.format(value) for value in (found.low, found.middle, found.high))
    mark = DISTURBED if found.disturbed else ""
    return f"{middle}{mark}" if low == high else f"{middle}{mark} ({low}–{high})"
