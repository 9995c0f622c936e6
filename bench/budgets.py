"""What the gateway is meant to reach, most of it as ratios within one benchmark; and whether it did. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.figures import Results
from bench.scenarios import (
    HUGE,
    LARGE,
    MANY,
    SLOW,
    SLOW_BOUNDED,
    SMALL_MANY,
    START,
    STORED,
    STREAM,
    STREAM_GAPS,
    UPLOAD_HUGE,
    UPLOAD_SMALL,
    UPLOADS,
)
from bench.tables import NOTHING, SUBJECT, Table

NOT_MEASURED = "not measured"
CONSOLES = "20 consoles"  # of bench/readers.py

Told = Mapping[str, Any]
"""What is measured beside the runs: `ledger` are the rows of bench/ledger.py, `readers` those of bench/readers.py."""


@dataclass(frozen=True)
class Budget:
    """One thing to reach. `at_least`: more is better. `value` is NaN if it was not measured."""

    what: str
    value: Callable[[Results, Told], float]
    reach: float
    at_least: bool = False
    form: str = "{:.2f}"


def judge(value: float, budget: Budget) -> str:
    """In words: that it is reached, or by which factor it is missed."""
    if math.isnan(value):
        return NOT_MEASURED
    worse = budget.reach / value if budget.at_least else value / budget.reach
    return f"missed, {worse:.2f} ×" if worse > 1 else "reached"


def budget_table(results: Results, told: Told) -> Table:
    """Every budget, what was measured, and the verdict."""
    rows = []
    for budget in BUDGETS:
        value = budget.value(results, told)
        bound = f"{'≥' if budget.at_least else '≤'} {budget.form.format(budget.reach)}"
        measured = NOTHING if math.isnan(value) else budget.form.format(value)
        rows.append((budget.what, measured, bound, judge(value, budget)))
    return Table("Budgets", ("what", "measured", "to reach", "verdict"), tuple(rows))


def _ratio(other: str, scenario: str, figure: str, results: Results, _: Told, *, tls: bool = False) -> float:
    found = results.ratio(SUBJECT, other, scenario, figure, tls=tls)
    return math.nan if found is None else found.middle


def _own(scenario: str, figure: str, results: Results, _: Told, *, per: float = 1.0) -> float:
    return results.middle(SUBJECT, scenario, figure) / per


def _kernel_tcp(results: Results, _: Told) -> float:
    found = results.added(SUBJECT, SLOW_BOUNDED.name, "kernel_tcp_mb")
    return math.nan if found is None else found.middle / SLOW_BOUNDED.connections


def _upload_growth(results: Results, _: Told) -> float:
    """Of the peak, from uploads of 1 MB before any larger one to the most with 30 MB."""
    small, huge = (results.of(SUBJECT, one.name, "peak_rss_mb") for one in (UPLOAD_SMALL, UPLOAD_HUGE))
    return huge.high - small.low if small and huge else math.nan


def _beside_consoles(waits_ms: int, _: Results, told: Told) -> float:
    """How much longer the p95 of images is beside open consoles."""
    rows = [row for row in told.get("readers", ()) if (row["who"], row["waits_ms"]) == (CONSOLES, waits_ms)]
    return rows[0]["p95_ratio"] if rows else math.nan


def _postgresql_pairs(_: Results, told: Told) -> float:
    rows = [row for row in told.get("ledger", ()) if (row["engine"], row["concurrency"]) == ("postgresql", 256)]
    return rows[0]["pairs_per_second"] if rows else math.nan


_nginx, _litellm = partial(_ratio, "nginx"), partial(_ratio, "litellm")
_SIZES = (LARGE.name, HUGE.name)

# fmt: off
BUDGETS: tuple[Budget, ...] = (
    Budget("2 KB, 32 connections: CPU ms", partial(_own, SMALL_MANY.name, "cpu_ms_per_request"), 0.4, form="{:.3f}"),
    Budget("2 KB, 32 connections: CPU ÷ LiteLLM's", partial(_litellm, SMALL_MANY.name, "cpu_ms_per_request"),
           1 / 22, form="{:.3f}"),
    *(Budget(f"{size}: CPU s/GB ÷ nginx's", partial(_nginx, size, "cpu_s_per_gb"), 1.15) for size in _SIZES),
    *(Budget(f"{size}: MB/s ÷ nginx's", partial(_nginx, size, "mb_per_second"), 1, at_least=True) for size in _SIZES),
    Budget("SSE: CPU s/GB ÷ nginx's", partial(_nginx, STREAM.name, "cpu_s_per_gb"), 1.5),
    Budget("SSE: first byte after 100 ms of silence, ms", partial(_own, STREAM_GAPS.name, "after_silence_p50_ms"), 4),
    *(Budget(f"{one.name}: MB/s ÷ nginx's", partial(_nginx, one.name, "mb_per_second"), 0.6, at_least=True)
      for one in UPLOADS),
    *(Budget(f"{one.name}: CPU s/GB ÷ nginx's", partial(_nginx, one.name, "cpu_s_per_gb"), 2.5) for one in UPLOADS),
    Budget("edit: RSS that 30 MB need more than 1 MB, MB", _upload_growth, 8, form="{:.1f}"),
    *(Budget(f"{one.name}: MB/s ÷ nginx's", partial(_nginx, one.name, "mb_per_second"), 0.8, at_least=True)
      for one in STORED),
    Budget("slow 30 MB reader: RSS, MB", partial(_own, SLOW.name, "growth_mb", per=SLOW.connections), 0.25),
    Budget("slow 30 MB reader: kernel TCP memory with GATEWAY_SOCKET_BUFFER_BYTES, MB", _kernel_tcp, 0.5),
    Budget("5,000 in flight for 10 s: answered", partial(_own, MANY.name, "answered"),
           5000, at_least=True, form="{:,.0f}"),
    Budget("5,000 in flight for 10 s: over, s", partial(_own, MANY.name, "over_seconds"), 3.5),
    Budget("5,000 in flight for 10 s: RSS, KB each",
           partial(_own, MANY.name, "growth_mb", per=MANY.connections / 1000), 30, form="{:.1f}"),
    Budget("20 consoles, 2 KB, 8 connections: p95 ÷ without", partial(_beside_consoles, 0), 1.05),
    Budget("20 consoles, images that take 2 s: p95 ÷ without", partial(_beside_consoles, 2000), 1.05),
    Budget("reserve + settle on PostgreSQL, 1,000 keys: pairs/s", _postgresql_pairs,
           4_500, at_least=True, form="{:,.0f}"),
    Budget("start to the first answer, s", partial(_own, START.name, "start_seconds"), 0.9),
    Budget("idle RSS, MB", partial(_own, START.name, "idle_rss_mb"), 80, form="{:.0f}"),
)
# fmt: on
