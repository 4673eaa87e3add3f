"""What Prometheus is told. Labels hold routes and collections, never persons or images."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.stages import Stages
from app.usecases.rooms import Rooms

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Requests:
    """Counts and times what was answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "rollcall_request_seconds",
            "Time to answer a request",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "rollcall_stage_seconds",
            "Time a request spent in a stage; NAME_wait is time in its queue",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._departed = Counter(
            "rollcall_departed_requests_total",
            "Requests dropped because their caller had gone",
            registry=registry,
        )

        # What `labels` finds anew each time, under a lock.
        self._answers: dict[tuple[str, str, int], Histogram] = {}
        self._spent: dict[str, Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        known = self._answers.get(key)
        if known is None:
            known = self._answers[key] = self._seconds.labels(method, route, str(status))
        known.observe(seconds)

    def spent(self, stages: Stages) -> None:
        for stage, seconds in stages.seconds.items():
            known = self._spent.get(stage)
            if known is None:
                known = self._spent[stage] = self._stages.labels(stage)
            known.observe(seconds)

    def departed(self) -> None:
        self._departed.inc()


class House(Collector):
    """Reads queues and galleries at the moment they are asked for."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield from self._queues()
        lost = CounterMetricFamily(
            "rollcall_decoder_deaths", "Decoder processes that an image ended, each a refused image"
        )
        lost.add_metric([], self._rooms.default.deaths)
        yield lost
        templates = GaugeMetricFamily(
            "rollcall_gallery_templates", "Templates in the index", labels=["collection"]
        )
        revision = GaugeMetricFamily(
            "rollcall_gallery_revision", "Revision of the index", labels=["collection"]
        )
        lag = GaugeMetricFamily(
            "rollcall_gallery_lag",
            "Revisions that the index is behind PostgreSQL, as last seen",
            labels=["collection"],
        )
        for index in self._rooms.sync.indexes:
            state = index.state
            templates.add_metric([index.name], 0 if state is None else state.size)
            revision.add_metric([index.name], max(0, index.revision))
            lag.add_metric([index.name], index.lag)
        contact = GaugeMetricFamily(
            "rollcall_sync_contact_seconds",
            "Seconds since PostgreSQL last answered the follower",
            value=self._rooms.sync.silence,
        )
        yield from (templates, revision, lag, contact)

    def _queues(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        depth = GaugeMetricFamily("rollcall_queue_depth", "Waiting for a stage", labels=["queue"])
        batches = CounterMetricFamily("rollcall_batches", "Batches run", labels=["queue"])
        dropped = CounterMetricFamily(
            "rollcall_queue_dropped", "Left the queue because the caller had gone", labels=["queue"]
        )
        for queue in self._rooms.queues():
            depth.add_metric([queue.name], queue.waiting)
            batches.add_metric([queue.name], queue.batches)
            dropped.add_metric([queue.name], queue.dropped)
        yield from (depth, batches, dropped)
