"""Counters, histograms and gauges over SharedCounters: cheap to increase, summed over all workers on a scrape.

They replace prometheus-client's own, which still writes the text. Those cost eight times as much per request, and their
mode for several processes keeps one file per process. docs/decisions/0009 has the figures.
"""

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from app.telemetry.shared_counters import LIVE, WIDTH_MAX, SharedCounters

_Child = TypeVar("_Child")


class CounterChild:
    """One series of a counter."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: "memoryview[float]", at: int) -> None:
        self._cells, self._at = cells, at

    def inc(self, amount: float = 1) -> None:
        self._cells[self._at] += amount


class HistogramChild:
    """One series of a histogram. Its cells are the sum, then the number of values in each bucket."""

    __slots__ = ("_at", "_bounds", "_cells")

    def __init__(self, cells: "memoryview[float]", at: int, bounds: tuple[float, ...]) -> None:
        self._cells, self._at, self._bounds = cells, at, bounds

    def observe(self, value: float) -> None:
        cells, at = self._cells, self._at
        cells[at] += value
        cells[at + 1 + bisect_left(self._bounds, value)] += 1


class LiveChild:
    """One series of a live gauge."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: "memoryview[float]", at: int) -> None:
        self._cells, self._at = cells, at

    def set(self, value: float) -> None:
        self._cells[self._at] = value


class _Children(dict[tuple[str, ...], _Child]):
    """The series of one metric by the values of their labels. Each is made when it is first used."""

    def __init__(self, make: Callable[[tuple[str, ...]], _Child]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, values: tuple[str, ...]) -> _Child:
        child = self[values] = self._make(values)
        return child


class Family(Collector, Generic[_Child]):
    """A metric with labels. `of[values]` is the series of these values: a plain look-up once it exists.

    `labels` returns the same, as prometheus-client's metrics do.
    """

    kind: str

    def __init__(self, shared_counters: SharedCounters, name: str, text: str, label_names: tuple[str, ...]) -> None:
        self.name, self.text, self.label_names = name, text, label_names
        self._shared_counters = shared_counters
        self.of = _Children(self._make)

    def labels(self, *values: str) -> _Child:
        return self.of[values]

    def describe(self) -> Iterator[Metric]:
        """Used by the registry to find duplicate names."""
        yield self._family()

    def _make(self, values: tuple[str, ...]) -> _Child:
        assert len(values) == len(self.label_names)
        return self._child(values)

    @abstractmethod
    def _family(self) -> Metric: ...

    @abstractmethod
    def _child(self, values: tuple[str, ...]) -> _Child: ...


class CounterFamily(Family[CounterChild]):
    """A count that only grows."""

    kind = "counter"

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, at in self._shared_counters.series(self.name):
            family.add_metric(labels, self._shared_counters.total(at))
        yield family

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.name, self.text, labels=self.label_names)

    def _child(self, values: tuple[str, ...]) -> CounterChild:
        return CounterChild(self._shared_counters.cells, self._shared_counters.place(self.name, values, 1))


class Histogram(Family[HistogramChild]):
    """How values spread over buckets. `bounds` are their upper ends, rising, without the last, infinite one."""

    kind = "histogram"

    def __init__(
        self,
        shared_counters: SharedCounters,
        name: str,
        text: str,
        label_names: tuple[str, ...],
        *,
        bounds: tuple[float, ...],
    ) -> None:
        super().__init__(shared_counters, name, text, label_names)
        self._bounds = bounds
        # The last value of each bucket that has a trace: of this worker alone.
        self._exemplars: dict[tuple[tuple[str, ...], int], Exemplar] = {}
        self._width = len(bounds) + 2
        assert self._width <= WIDTH_MAX

    @property
    def has_exemplars(self) -> bool:
        return bool(self._exemplars)

    def note_trace(self, values: tuple[str, ...], observed: float, trace_id: str) -> None:
        """Shows this trace as an example of the bucket that has the value."""
        bucket = bisect_left(self._bounds, observed)
        self._exemplars[values, bucket] = Exemplar({"trace_id": trace_id}, observed)

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        ends = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, at in self._shared_counters.series(self.name):
            counts = (self._shared_counters.total(cell) for cell in range(at + 1, at + self._width))
            shown = (self._exemplars.get((labels, bucket)) for bucket in range(len(ends)))
            buckets: list[Any] = [*zip(ends, accumulate(counts), shown, strict=True)]
            family.add_metric(labels, buckets, self._shared_counters.total(at))
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.text, labels=self.label_names)

    def _child(self, values: tuple[str, ...]) -> HistogramChild:
        return HistogramChild(
            self._shared_counters.cells, self._shared_counters.place(self.name, values, self._width), self._bounds
        )


class LiveGauge(Family[LiveChild]):
    """A current value: the sum of what the living workers set."""

    kind = "gauge"

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for labels, at in self._shared_counters.series(LIVE + self.name):
            family.add_metric(labels, self._shared_counters.total(at))
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.text, labels=self.label_names)

    def _child(self, values: tuple[str, ...]) -> LiveChild:
        return LiveChild(self._shared_counters.cells, self._shared_counters.place(LIVE + self.name, values, 1))
