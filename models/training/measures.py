"""The rates in what evaluate wrote, wherever in it they stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# What tells the entries of a list apart, the first that is there.
LABELS: Final = ("name", "group", "far", "target_fpir", "fmr", "fpir")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """``count`` of ``total``, with the 95 % interval of the share.

    ``path`` are the names on the way to it. ``threshold`` is the similarity that it holds at,
    where it depends on one.
    """

    path: tuple[str, ...]
    rate: float
    count: int
    total: int
    interval: tuple[float, float]
    threshold: float | None
    imprecise: bool


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Mean over the folds of a published protocol, with the standard error of that mean."""

    path: tuple[str, ...]
    mean: float
    standard_error: float


def measures(
    node: Any, path: tuple[str, ...] = (), around: Mapping[str, Any] | None = None
) -> Iterator[Measure]:
    """Every rate with its counts in a JSON value, in the order in which they stand.

    A rate is an object with ``rate``, ``count``, ``of`` and ``interval_95``. A threshold may stand
    in it or in the object around it.
    """
    if isinstance(node, Mapping):
        if node.keys() >= {"rate", "count", "of", "interval_95"}:
            nearby = {**(around or {}), **node}
            low, high = node["interval_95"]
            yield Measure(
                path=path,
                rate=float(node["rate"]),
                count=int(node["count"]),
                total=int(node["of"]),
                interval=(float(low), float(high)),
                threshold=None if nearby.get("threshold") is None else float(nearby["threshold"]),
                imprecise=bool(nearby.get("imprecise", False)),
            )
            return
        for key, value in node.items():
            yield from measures(value, (*path, key), node)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from measures(value, (*path, *_label(value)), None)


def accuracies(node: Any, path: tuple[str, ...] = ()) -> Iterator[Accuracy]:
    """Every ``accuracy`` that stands beside its ``accuracy_standard_error``."""
    if not isinstance(node, Mapping):
        return
    if node.keys() >= {"accuracy", "accuracy_standard_error"}:
        yield Accuracy(
            path=path,
            mean=float(node["accuracy"]),
            standard_error=float(node["accuracy_standard_error"]),
        )
    for key, value in node.items():
        yield from accuracies(value, (*path, key))


def _label(value: Any) -> tuple[str, ...]:
    """An entry of a list by what it is about: ``far 0.01``, or its bare name."""
    if isinstance(value, Mapping):
        for key in LABELS:
            if isinstance(found := value.get(key), str):
                return (found,)
            if isinstance(found, int | float):
                return (f"{key} {found:g}",)
    return ()
