"""What the gateway is meant to reach, as ratios within one benchmark; and whether it did. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.figures import Results
from bench.scenarios import (
    HUGE,
    IN_FLIGHT,
    LARGE,
    SLOW,
    SLOW_BOUNDED,
    SMALL,
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

Pairs = Sequence[Mapping[str, Any]]
"""The ledger's own benchmark: the fields of bench.ledger.Pairs for each number of callers at a time."""


@dataclass(frozen=True)
class Budget:
    """One thing to reach. `at_least`: more is better. A bound may be missing; `value` is NaN if it was not measured."""

    what: str
    value: Callable[[Results, Pairs], float]
    reach: float | None
    aim: float | None = None
    at_least: bool = False
    form: str = "{:.2f}"


def judge(value: float, budget: Budget) -> str:
    """In words: what is reached, or by which factor it is missed."""
    if math.isnan(value):
        return NOT_MEASURED

    def missed_by(bound: float) -> float:
        worse = bound / value if budget.at_least else value / bound
        return worse if worse > 1 else 0.0

    reach, aim = (None if bound is None else missed_by(bound) for bound in (budget.reach, budget.aim))
    if reach:
        return f"missed, {reach:.2f} ×"
    if aim:
        return f"{'aim' if reach is None else 'reached; aim'} missed, {aim:.2f} ×"
    return "reached" if aim is None else "aim reached"


def budget_table(results: Results, pairs: Pairs) -> Table:
    """Every budget, what was measured, and the verdict."""
    rows = []
    for budget in BUDGETS:
        value = budget.value(results, pairs)
        sign = "≥" if budget.at_least else "≤"
        bounds = (
            f"{sign} {budget.form.format(bound)}" if bound is not None else NOTHING
            for bound in (budget.reach, budget.aim)
        )
        told = NOTHING if math.isnan(value) else budget.form.format(value)
        rows.append((budget.what, told, *bounds, judge(value, budget)))
    return Table("Budgets", ("what", "measured", "to reach", "then aim for", "verdict"), tuple(rows))


def _ratio(other: str, scenario: str, figure: str, results: Results, _: Pairs, *, tls: bool = False) -> float:
    found = results.ratio(SUBJECT, other, scenario, figure, tls=tls)
    return math.nan if found is None else found.middle


def _added_ratio(other: str, results: Results, _: Pairs) -> float:
    """Of the latency that each adds to the rig's own, for one small request at a time."""
    own, others = (results.added(name, SMALL.name, "latency_p50_ms") for name in (SUBJECT, other))
    return own.middle / others.middle if own and others and others.middle > 0 else math.nan


def _own(scenario: str, figure: str, results: Results, _: Pairs, *, per: float = 1.0) -> float:
    return results.middle(SUBJECT, scenario, figure) / per


def _kernel_tcp(results: Results, _: Pairs) -> float:
    found = results.added(SUBJECT, SLOW_BOUNDED.name, "kernel_tcp_mb")
    return math.nan if found is None else found.middle / SLOW_BOUNDED.connections


def _tail(results: Results, _: Pairs) -> float:
    p99, p50 = (results.middle(SUBJECT, SMALL_MANY.name, f"latency_{name}_ms") for name in ("p99", "p50"))
    return p99 / p50


def _upload_growth(results: Results, _: Pairs) -> float:
    """Of the peak, from uploads of 1 MB before any larger one to the most with 30 MB."""
    small, huge = (results.of(SUBJECT, one.name, "peak_rss_mb") for one in (UPLOAD_SMALL, UPLOAD_HUGE))
    return huge.high - small.low if small and huge else math.nan


def _pair(figure: str, concurrency: int, _: Results, pairs: Pairs, *, engine: str = "sqlite") -> float:
    found = (pair[figure] for pair in pairs if (pair["engine"], pair["concurrency"]) == (engine, concurrency))
    return next(found, math.nan)


def _ledger_share(results: Results, pairs: Pairs) -> float:
    """How much of the core the ledger takes while 32 connections ask for small answers."""
    return (
        _pair("cpu_us_per_pair", 32, results, pairs)
        / 1e6
        * _own(SMALL_MANY.name, "requests_per_second", results, pairs)
    )


_nginx, _litellm = partial(_ratio, "nginx"), partial(_ratio, "litellm")
_SIZES = (LARGE.name, HUGE.name)

# fmt: off
BUDGETS: tuple[Budget, ...] = (
    Budget("2 KB, 32 connections: req/s ÷ LiteLLM's", partial(_litellm, SMALL_MANY.name, "requests_per_second"),
           40, at_least=True, form="{:.1f}"),
    Budget("2 KB, 32 connections: req/s ÷ nginx's", partial(_nginx, SMALL_MANY.name, "requests_per_second"),
           1 / 15, 1 / 9, at_least=True, form="{:.3f}"),
    Budget("2 KB, 1 connection: added p50 ÷ LiteLLM's", partial(_added_ratio, "litellm"), 1 / 15, form="{:.3f}"),
    Budget("2 KB, 1 connection: added p50 ÷ nginx's", partial(_added_ratio, "nginx"), None, 3),
    Budget("2 KB, 32 connections: p99 ÷ p50", _tail, None, 3),
    *(Budget(f"{size}: MB/s ÷ LiteLLM's", partial(_litellm, size, "mb_per_second"), 8, at_least=True, form="{:.1f}")
      for size in _SIZES),
    *(Budget(f"{size}: MB/s ÷ nginx's", partial(_nginx, size, "mb_per_second"), 0.6, 0.9, at_least=True)
      for size in _SIZES),
    *(Budget(f"{size}: CPU s/GB ÷ LiteLLM's", partial(_litellm, size, "cpu_s_per_gb"), 1 / 7, form="{:.3f}")
      for size in _SIZES),
    *(Budget(f"{size}: CPU s/GB ÷ nginx's", partial(_nginx, size, "cpu_s_per_gb"), None, 1.2) for size in _SIZES),
    Budget("8MB, TLS to the upstream: CPU s/GB ÷ nginx's", partial(_nginx, LARGE.name, "cpu_s_per_gb", tls=True),
           1.5, 1.2),
    Budget("SSE: CPU s/GB ÷ nginx's", partial(_nginx, STREAM.name, "cpu_s_per_gb"), 2, 1.4),
    Budget("SSE with gaps: first event ÷ nginx's", partial(_nginx, STREAM_GAPS.name, "first_event_p50_ms"), 2.5, 1.5),
    Budget("SSE with gaps of 100 ms: first event's p99, ms", partial(_own, STREAM_GAPS.name, "first_event_p99_ms"),
           100, form="{:.1f}"),
    *(Budget(f"{one.name}: MB/s ÷ nginx's", partial(_nginx, one.name, "mb_per_second"), 0.6, at_least=True)
      for one in UPLOADS),
    *(Budget(f"{one.name}: CPU s/GB ÷ nginx's", partial(_nginx, one.name, "cpu_s_per_gb"), 2.5) for one in UPLOADS),
    Budget("edit: RSS that 30 MB need more than 1 MB, MB", _upload_growth, 8, form="{:.1f}"),
    *(Budget(f"{one.name}: MB/s ÷ nginx's", partial(_nginx, one.name, "mb_per_second"), 0.8, at_least=True)
      for one in STORED),
    Budget("slow 30 MB reader: RSS, MB", partial(_own, SLOW.name, "growth_mb", per=SLOW.connections), 0.5, 0.15),
    Budget("slow 30 MB reader: kernel TCP memory with GATEWAY_SOCKET_BUFFER_BYTES, MB", _kernel_tcp, 0.5),
    Budget("500 in flight for 5 s: answered", partial(_own, IN_FLIGHT.name, "answered"),
           500, at_least=True, form="{:.0f}"),
    Budget("500 in flight for 5 s: over, s", partial(_own, IN_FLIGHT.name, "over_seconds"), 0.4, 0.2),
    Budget("500 in flight for 5 s: RSS, MB", partial(_own, IN_FLIGHT.name, "growth_mb"), 25, form="{:.1f}"),
    Budget("reserve + settle: pairs/s", partial(_pair, "pairs_per_second", 256),
           20_000, 40_000, at_least=True, form="{:,.0f}"),
    Budget("reserve + settle: CPU µs a pair", partial(_pair, "cpu_us_per_pair", 256), 40, form="{:.0f}"),
    Budget("reserve + settle: share of the core at 2 KB, 32 connections", _ledger_share, 0.15),
    Budget("reserve + settle on PostgreSQL, 1,000 keys: pairs/s",
           partial(_pair, "pairs_per_second", 256, engine="postgresql"), 4_500, at_least=True, form="{:,.0f}"),
    Budget("start to the first answer, s", partial(_own, START.name, "start_seconds"), 0.9, 0.8),
    Budget("idle RSS, MB", partial(_own, START.name, "idle_rss_mb"), 80, 60, form="{:.0f}"),
)
# fmt: on
