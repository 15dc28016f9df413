"""Metrics of the service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 6, 12, 30, 60)
Reading = tuple[str, str, dict[str, str], float]
"""Name, help, labels and value of a metric read on request; names that end in _total are counters, others gauges."""


class Metrics:
    """Counters of this process; `watch` adds values that are read whenever the metrics are requested."""

    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.collectors, "namespace": "everslide"}
        self._painted = Counter("tiles_painted", "Tiles painted by this process.", ["slide", "level"], **options)
        self._seconds = Histogram(
            "paint_seconds", "Seconds of painting one tile with the ancestors it lacked.", buckets=_SECONDS, **options
        )
        self._ahead = Counter(
            "tiles_painted_ahead", "Tiles painted while nobody waited.", ["slide", "level"], **options
        )
        self._served = Counter(
            "tiles_served", "Tiles answered, by state: final or preview.", ["slide", "level", "state"], **options
        )
        self._refused = Counter("refusals", "Requests answered with an error, by status.", ["status"], **options)

    def painted(self, slide: str, level: int, seconds: float) -> None:
        """Count a tile that somebody waited for, and the seconds that it took."""
        self._painted.labels(slide, str(level)).inc()
        self._seconds.observe(seconds)

    def painted_ahead(self, slide: str, level: int) -> None:
        """Count a tile that was painted while nobody waited."""
        self._ahead.labels(slide, str(level)).inc()

    def served(self, slide: str, level: int, state: str) -> None:
        """Count an answer. state: final or preview."""
        self.serves(slide, level, state)()

    def serves(self, slide: str, level: int, state: str) -> Callable[[], None]:
        """A function that counts one more served tile: faster than `served` for callers that count often."""
        count: Callable[[], None] = self._served.labels(slide, str(level), state).inc
        return count

    def refused(self, status: int) -> None:
        """Count an answer with an error."""
        self._refused.labels(str(status)).inc()

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """read: called whenever the metrics are requested."""
        self.collectors.register(_Watcher(read))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.collectors)


class _Watcher(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Any] = {}
        for name, words, labels, value in self._read():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            if name not in families:
                families[name] = family(f"everslide_{name}", words, labels=list(labels))
            families[name].add_metric(list(labels.values()), value)
        yield from families.values()
