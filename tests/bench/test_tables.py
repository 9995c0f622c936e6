from bench.figures import Results, Run, Spread
from bench.tables import absolute_tables, ledger_tables, ratio_table, spread_text

MEASURED = Results(
    ("direct", "nginx", "gateway", "portkey"),
    (
        Run("sse", False, "direct", 0, {"mb_per_second": 2000.0}),
        Run("sse", False, "nginx", 0, {"mb_per_second": 1500.0, "cpu_s_per_gb": 0.5}),
        Run("sse", False, "gateway", 0, {"mb_per_second": 750.0, "cpu_s_per_gb": 1.0}),
        Run("sse", False, "gateway", 1, {"mb_per_second": 900.0, "cpu_s_per_gb": 1.25}, ("noise",)),
        Run("sse", False, "portkey", 0, {}, (), "answers HTTP 500"),
    ),
)


def test_spreads_are_written_with_brackets_only_where_they_say_something() -> None:
    assert spread_text(Spread(1, 2, 3), "{:.1f}") == "2.0 (1.0–3.0)"
    assert spread_text(Spread(2.01, 2.02, 2.03), "{:.1f}") == "2.0"
    assert spread_text(Spread(1, 2, 3, disturbed=True), "{:.0f}") == "2! (1–3)"
    assert spread_text(None, "{:.0f}") == "–"


def test_tables_show_what_was_measured_and_who_could_not_answer() -> None:
    [table] = absolute_tables(MEASURED)
    assert table.columns == ("contender", "MB/s", "CPU s/GB")
    assert table.rows == (
        ("direct", "2,000", "–"),
        ("nginx", "1,500", "0.50"),
        ("gateway", "750", "1.00"),
        ("portkey", "answers HTTP 500", "answers HTTP 500"),
    )


def test_ratios_are_the_gateways_by_each_others() -> None:
    table = ratio_table(MEASURED)
    assert table.columns == ("figure", "gateway", "÷ direct", "÷ nginx", "÷ portkey")
    assert table.rows == (
        ("sse: mb per second", "750", "0.38", "0.50", "–"),
        ("sse: cpu s per gb", "1.00", "–", "2.00", "–"),
    )


def test_without_a_gateway_there_are_no_ratios() -> None:
    assert ratio_table(Results(("nginx",), ())).rows == ()


def test_ledger_table() -> None:
    load = {"engine": "sqlite", "keys": 1000, "concurrency": 32}
    pairs = {**load, "pairs_per_second": 25534.2, "cpu_us_per_pair": 31.04, "p50_ms": 1.229, "p99_ms": 2.12}
    (table,) = ledger_tables([pairs])
    assert table.rows == (("SQLite", "1,000", "32", "25,534", "31.0", "1.23", "2.12"),)
    assert ledger_tables([]) == []
