"""Our counters and histograms say what prometheus-client's own would, for one worker and for several."""

import os
from collections.abc import Iterator

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from app.telemetry.prometheus_families import CounterFamily, Histogram, LiveGauge
from app.telemetry.shared_counters import SharedCounters, shared_memory

BOUNDS = (0.1, 1.0, 2.5)


@pytest.fixture
def boards() -> Iterator[list[SharedCounters]]:
    descriptor = shared_memory(2)
    yield [SharedCounters(descriptor, worker, 2) for worker in range(2)]
    os.close(descriptor)


def text_of(*collectors: CounterFamily | Histogram | LiveGauge) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5) | st.sampled_from(BOUNDS)), max_size=30))
def test_the_text_is_the_one_of_prometheus_client(values: list[tuple[str, float]]) -> None:
    shared_counters, registry = SharedCounters(), CollectorRegistry()
    counter, histogram = (
        CounterFamily(shared_counters, "n", "N.", ("l",)),
        Histogram(shared_counters, "h", "H.", ("l",), bounds=BOUNDS),
    )
    their_counter = prometheus_client.Counter("n", "N.", ["l"], registry=registry)
    their_histogram = prometheus_client.Histogram("h", "H.", ["l"], buckets=BOUNDS, registry=registry)
    for label, value in values:
        counter.labels(label).inc(value)
        histogram.labels(label).observe(value)
        their_counter.labels(label).inc(value)
        their_histogram.labels(label).observe(value)
    theirs = [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
    assert text_of(counter, histogram).splitlines() == theirs


def test_what_each_worker_counts_is_summed_whoever_is_asked(boards: list[SharedCounters]) -> None:
    counters = [CounterFamily(shared_counters, "n", "N.", ("l",)) for shared_counters in boards]
    histograms = [Histogram(shared_counters, "h", "H.", (), bounds=BOUNDS) for shared_counters in boards]
    for number, (counter, histogram) in enumerate(zip(counters, histograms, strict=True), start=1):
        counter.labels("both").inc(number)
        counter.labels(f"only {number}").inc()
        histogram.labels().observe(number)
    texts = [text_of(counter, histogram) for counter, histogram in zip(counters, histograms, strict=True)]
    assert texts[0] == texts[1]
    assert 'n_total{l="both"} 3.0\n' in texts[0]
    assert 'n_total{l="only 1"} 1.0\n' in texts[0]
    assert 'h_bucket{le="1.0"} 1.0\n' in texts[0]
    assert "h_count 2.0\nh_sum 3.0\n" in texts[0]


def test_a_live_gauge_is_the_sum_of_the_living(boards: list[SharedCounters]) -> None:
    gauges = [LiveGauge(shared_counters, "g", "G.", ()) for shared_counters in boards]
    for gauge in gauges:
        gauge.labels().set(5)
    assert "g 10.0\n" in text_of(gauges[0])
    boards[0].clear_live(1)
    assert "g 5.0\n" in text_of(gauges[0])


def test_a_metric_knows_how_many_labels_it_has() -> None:
    with pytest.raises(AssertionError):
        CounterFamily(SharedCounters(), "n", "N.", ("l",)).labels("a", "b")
