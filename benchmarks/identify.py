"""Open-set identification through the running HTTP service, on a folder with LFW.

    python -m benchmarks.identify --data DIR [--url URL | --pack PACK] [--out FILE.json]

DIR holds `lfw/images/NAME/NAME_0001.jpg` and `lfw/identify/{enrol,probes,non_members}.csv`
(columns `person,image`; strangers have `image` only). Every listed person is enrolled from the
enrol images, then every probe and every stranger is identified with threshold -1, so that all
thresholds can be judged from one run. Without --url a service is started for the run, with a
database of its own, and stopped after it.

An image that the service refuses counts: a refused probe, or a probe of somebody who could not be
enrolled, is a miss; a refused stranger is a search that found nobody.
"""

import argparse
import asyncio
import csv
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx
import numpy as np
from tqdm import tqdm

from benchmarks.local import commit, machine, own_service
from benchmarks.open_set import (
    PRECISE,
    Search,
    Share,
    allowed,
    false_negatives,
    false_positives,
    match_within,
    needed,
    threshold_at,
)

TOP_K: Final = 10
RANKS: Final = (1, 5, 10)
TARGETS: Final = (0.01, 0.001)
PATIENCE: Final = 600.0
"""Seconds for which a request that is answered with 503 is repeated."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Probe:
    """A picture to identify; `person` is None for a stranger."""

    image: str
    person: str | None


@dataclass(frozen=True, slots=True)
class Lists:
    """Who is enrolled from which pictures, and who is searched for."""

    enrol: Mapping[str, Sequence[str]]
    probes: Sequence[Probe]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of the enrolment. `persons` maps ids of the service to names of the list."""

    persons: Mapping[str, str]
    refused: Mapping[str, list[str]]
    revision: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Requests of one phase: how many, how long the phase took, how long each was waited for."""

    requests: int
    seconds: float
    waits: Sequence[float]

    def summary(self) -> dict[str, float]:
        p50, p95 = (float(each) for each in np.percentile(self.waits, (50, 95)))
        return {
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "requests_per_second": round(self.requests / self.seconds, 1),
            "latency_ms_p50": round(p50 * 1e3, 1),
            "latency_ms_p95": round(p95 * 1e3, 1),
        }


def read_lists(data: Path) -> Lists:
    """Raises SystemExit that names the file which is not there."""
    folder = data / "lfw" / "identify"
    rows = {}
    for name in ("enrol", "probes", "non_members"):
        path = folder / f"{name}.csv"
        if not path.is_file():
            raise SystemExit(f"{path} is not there; --data names a folder with LFW in this layout.")
        with path.open(newline="", encoding="utf-8") as file:
            rows[name] = list(csv.DictReader(file))
    enrol: dict[str, list[str]] = defaultdict(list)
    for row in rows["enrol"]:
        enrol[row["person"]].append(row["image"])
    mated = [Probe(row["image"], row["person"]) for row in rows["probes"]]
    strangers = [Probe(row["image"], None) for row in rows["non_members"]]
    unknown = {probe.person for probe in mated} - set(enrol)
    if unknown:
        raise SystemExit(f"probes.csv names {len(unknown)} persons that enrol.csv does not.")
    return Lists(enrol, [*mated, *strangers])


class Service:
    """The HTTP side: a client that waits where the service asks it to."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.retries = 0

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer, whatever its status but 503, which is tried again when the service says.

        Raises SystemExit for a fault of the service: a figure with holes is no figure.
        """
        give_up = time.monotonic() + PATIENCE
        while True:
            answer = await self._client.request(method, path, **request)
            if answer.status_code != 503 or time.monotonic() > give_up:
                break
            self.retries += 1
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
        if answer.status_code >= 500:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    async def must(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The body of an answer that has to be a success."""
        answer = await self.ask(method, path, **request)
        if not answer.is_success:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        body: dict[str, Any] = answer.json()
        return body


async def all_of(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[Result]],
    *,
    concurrency: int,
    title: str,
) -> tuple[list[Result], Timing]:
    """`work` on every item, so many at a time, answers in order. Shows progress and time left."""
    results: list[Result | None] = [None] * len(items)
    waits: list[float] = []
    waiting = iter(enumerate(items))
    begin = time.perf_counter()

    async def worker(bar: "tqdm[Any]") -> None:
        for place, item in waiting:
            asked = time.perf_counter()
            results[place] = await work(item)
            waits.append(time.perf_counter() - asked)
            bar.update()

    with tqdm(total=len(items), desc=title, unit="req", smoothing=0.05) as bar:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(items))):
                group.create_task(worker(bar))
    done = [result for result in results if result is not None]
    return done, Timing(len(items), time.perf_counter() - begin, waits)


async def enrol_all(
    service: Service, images: Path, collection: str, lists: Lists, concurrency: int
) -> tuple[Enrolled, Timing]:
    """Enrol every person of the list; who is refused is named with the reasons."""

    async def enrol(person: str) -> httpx.Response:
        files = [("images", (images / image).read_bytes()) for image in lists.enrol[person]]
        return await service.ask(
            "POST",
            "/enroll",
            # A retry after a lost answer must not enrol a second person.
            headers={"Idempotency-Key": f"{collection}/{person}"},
            data={
                "collection": collection,
                "name": person,
                "face": "largest",
                "on_duplicate": "allow",
            },
            files=files,
        )

    names = list(lists.enrol)
    answers, timing = await all_of(names, enrol, concurrency=concurrency, title="enrol")
    persons, refused, revision = {}, {}, 0
    for name, answer in zip(names, answers, strict=True):
        body = answer.json()
        if answer.status_code == 201:
            persons[body["person"]["id"]] = name
            revision = max(revision, body["revision"])
        elif body.get("code") == "nothing_enrolled":
            refused[name] = sorted({why for one in body["rejected"] for why in one["reasons"]})
        else:
            raise SystemExit(f"POST /enroll: {answer.status_code} {answer.text}")
    return Enrolled(persons, refused, revision), timing


async def identify_all(
    service: Service,
    images: Path,
    collection: str,
    lists: Lists,
    enrolled: Enrolled,
    concurrency: int,
) -> tuple[list[Search], Timing]:
    """One search a probe, in order of the list, with every candidate down to rank 10."""

    async def identify(probe: Probe) -> Search:
        answer = await service.ask(
            "POST",
            "/identify",
            data={
                "collection": collection,
                "threshold": -1,
                "top_k": TOP_K,
                "max_faces": 1,
                "min_revision": enrolled.revision,
            },
            files={"image": (images / probe.image).read_bytes()},
        )
        body = answer.json()
        if answer.status_code != 200:
            if answer.status_code in (413, 415) or body.get("code") in (
                "face_not_found",
                "image_broken",
                "image_animated",
                "image_empty",
            ):
                return Search(probe.person, failure=body["code"])
            raise SystemExit(f"POST /identify: {answer.status_code} {answer.text}")
        return Search(
            probe.person,
            tuple(
                (enrolled.persons[candidate["person"]["id"]], candidate["similarity"])
                for candidate in body["faces"][0]["candidates"]
            ),
        )

    return await all_of(lists.probes, identify, concurrency=concurrency, title="identify")


async def measure(url: str, data: Path, concurrency: int) -> dict[str, Any]:
    """The whole run against the service at `url`, as what is written down."""
    lists = read_lists(data)
    images = data / "lfw" / "images"
    collection = f"bench-{uuid4().hex[:12]}"
    limits = httpx.Limits(max_connections=concurrency)
    # As it was before the run: a checkout may move on while it lasts.
    began = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {**machine(), "load_average": [round(each, 2) for each in os.getloadavg()]},
    }
    async with httpx.AsyncClient(
        base_url=url, timeout=120, limits=limits, trust_env=False
    ) as client:
        service = Service(client)
        models = (await service.must("GET", "/models"))["models"]
        model = next(each for each in models if each["default"])
        try:
            enrolled, enrolling = await enrol_all(service, images, collection, lists, concurrency)
            searches, identifying = await identify_all(
                service, images, collection, lists, enrolled, concurrency
            )
            plain = await plain_answer(service, images, collection, lists, searches)
        finally:
            await client.delete(f"/collections/{collection}")
    return {
        "benchmark": "identify",
        **began,
        "data": "LFW, open-set lists",
        "pack": {
            name: model[name]
            for name in ("pack", "version", "model", "dimension", "licence", "detector")
        },
        "providers": model["providers"],
        "calibrated": model["calibration"] is not None,
        "concurrency": concurrency,
        "enrolment": {
            "persons_listed": len(lists.enrol),
            "persons_enrolled": len(enrolled.persons),
            "gallery_size": plain["gallery_size"],
            "refused": dict(sorted(enrolled.refused.items())),
        },
        "speed": {
            "enroll": enrolling.summary(),
            "identify": identifying.summary(),
            "repeated_after_503": service.retries,
        },
        **judged(searches, enrolled, plain),
    }


async def plain_answer(
    service: Service, images: Path, collection: str, lists: Lists, searches: Sequence[Search]
) -> dict[str, Any]:
    """An identify without any aim: the service's own threshold for this gallery."""
    seen = next(
        probe
        for probe, search in zip(lists.probes, searches, strict=True)
        if search.failure is None
    )
    return await service.must(
        "POST",
        "/identify",
        data={"collection": collection},
        files={"image": (images / seen.image).read_bytes()},
    )


def judged(
    searches: Sequence[Search], enrolled: Enrolled, plain: Mapping[str, Any]
) -> dict[str, Any]:
    """Every figure of a run from its searches."""
    mated = [search for search in searches if search.mate is not None]
    strangers = [search for search in searches if search.mate is None]
    present = set(enrolled.persons.values())
    return {
        "searches": {
            "mated": len(mated),
            "mated_without_enrolled_person": sum(each.mate not in present for each in mated),
            "mated_refused": _failures(mated),
            "non_mated": len(strangers),
            "non_mated_refused": _failures(strangers),
        },
        "cmc": {str(rank): _share(match_within(mated, rank)) for rank in RANKS},
        "at_fpir": [_at_fpir(mated, strangers, target) for target in TARGETS],
        "at_default": {
            "threshold_source": plain["threshold_source"],
            **_at(mated, strangers, plain["threshold"]),
        },
    }


def _at_fpir(mated: Sequence[Search], strangers: Sequence[Search], target: float) -> dict[str, Any]:
    most = allowed(len(strangers), target)
    head = {"target_fpir": target, "false_positives_allowed": most}
    try:
        threshold = threshold_at(strangers, target)
    except ValueError:
        return {**head, "supported": False, "searches_needed": needed(target)}
    return {
        **head,
        "supported": True,
        "imprecise": most < PRECISE,
        **_at(mated, strangers, threshold),
    }


def _at(mated: Sequence[Search], strangers: Sequence[Search], threshold: float) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "fpir": _share(false_positives(strangers, threshold)),
        "fnir": _share(false_negatives(mated, threshold, TOP_K)),
        "fnir_rank_1": _share(false_negatives(mated, threshold, 1)),
    }


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {
        "rate": round(share.rate, 5),
        "count": share.count,
        "of": share.total,
        "interval_95": [round(low, 5), round(high, 5)],
    }


def _failures(searches: Sequence[Search]) -> dict[str, int]:
    return dict(Counter(each.failure for each in searches if each.failure is not None))


def table(result: Mapping[str, Any]) -> str:
    """The figures as the Markdown table that docs/accuracy.md shows."""
    pack, enrolment, searches = result["pack"], result["enrolment"], result["searches"]
    identify = result["speed"]["identify"]
    refused = sum(searches["mated_refused"].values()), sum(searches["non_mated_refused"].values())
    rows = [
        ("pack, model", f"`{pack['pack']}`, `{pack['model']}`"),
        (
            "persons enrolled",
            f"{enrolment['persons_enrolled']:,} of {enrolment['persons_listed']:,} "
            f"({enrolment['gallery_size']:,} templates)",
        ),
        ("mated searches", f"{searches['mated']:,} ({refused[0]} images refused)"),
        ("non-mated searches", f"{searches['non_mated']:,} ({refused[1]} images refused)"),
        *((f"rank-{rank}", _cell(share)) for rank, share in result["cmc"].items()),
    ]
    for each in result["at_fpir"]:
        name = f"FPIR {each['target_fpir']:.1%}"
        if not each["supported"]:
            rows.append((f"FNIR at {name}", f"needs {each['searches_needed']:,} strangers"))
            continue
        mark = ", imprecise: fewer than 30 false positives" if each["imprecise"] else ""
        rows += [
            (
                f"threshold at {name}",
                f"{each['threshold']:.4f} ({each['fpir']['count']} of {each['fpir']['of']:,} "
                f"strangers{mark})",
            ),
            (f"FNIR at {name}", _cell(each["fnir"])),
            (f"the same, mate must come first, at {name}", _cell(each["fnir_rank_1"])),
        ]
    default = result["at_default"]
    source = (
        "from the pack's calibration"
        if result["calibrated"]
        else "a fixed setting: this pack has no calibration"
    )
    rows += [
        ("the service's default threshold", f"{default['threshold']:.4f} ({source})"),
        ("FPIR observed there", _cell(default["fpir"])),
        ("FNIR observed there", _cell(default["fnir"])),
        (
            "identify requests",
            f"{identify['requests_per_second']:g} a second, median "
            f"{identify['latency_ms_p50']:g} ms, {result['concurrency']} at a time",
        ),
    ]
    return "\n".join(
        ["| figure | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    )


def _cell(share: Mapping[str, Any]) -> str:
    low, high = share["interval_95"]
    return f"{share['rate']:.2%} ({share['count']:,} of {share['of']:,}; {low:.2%} to {high:.2%})"


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw/ in it")
    root.add_argument("--url", help="a running service; without it one is started for the run")
    root.add_argument("--pack", default="starter", help="pack of the service that is started")
    root.add_argument("--concurrency", type=int, default=8, help="requests at a time")
    root.add_argument("--out", type=Path, help="write the figures here as JSON")
    return root


def main() -> None:
    asked = parser().parse_args()
    # As Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if asked.url:
        result = asyncio.run(measure(asked.url, asked.data, asked.concurrency))
    else:
        with own_service(asked.pack) as url:
            result = asyncio.run(measure(url, asked.data, asked.concurrency))
    print(table(result))
    if result["enrolment"]["refused"]:
        print("\nNot enrolled:")
        for person, reasons in result["enrolment"]["refused"].items():
            print(f"  {person}: {', '.join(reasons)}")
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
