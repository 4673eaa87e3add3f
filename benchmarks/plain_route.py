"""The service beside the route that many write first: FastAPI, FaceAnalysis and IndexFlatIP.

    python -m benchmarks.plain_route --data DIR --pack FOLDER [--clients 8 32] [--seconds N]

FOLDER is a pack of InsightFace's, the only kind that the plain route can read. In turns, on the
same bytes, twice: with pictures of 640 pixels, on which both look for faces at 640x640; and with
LFW's pictures of 250, which the plain route blows up to 640x640 and the service does not. The
plain route (benchmarks/plain_app.py) runs as one worker: two measured slower.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from benchmarks.enrolled import FIELDS, accuracy, enrolled_service, searches_of_service
from benchmarks.load import Generator
from benchmarks.local import ROOT, free_port
from benchmarks.open_set import Search
from benchmarks.pictures import Pictures, read_pictures
from benchmarks.report import Report, in_turns, options, ratio

SAME: Final = 640
"""Pixels of the detector's input in the plain route."""
ROUNDS: Final = 3
JUDGED: Final = 1000
"""Pictures of persons and as many of strangers: with fewer, FPIR 1 % cannot be told."""


@contextmanager
def plain_route(pack: str, pictures: Pictures) -> Iterator[str]:
    """The URL of the plain route, with the persons of `pictures` in its index."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        people = Path(folder, "people.json")
        people.write_text(
            json.dumps(dict(zip(pictures.persons, map(str, pictures.enrol), strict=True)))
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "benchmarks.plain_app:app", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "PLAIN_PACK": pack, "PLAIN_PEOPLE": str(people)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _answering(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            process.wait()


def _answering(url: str, process: "subprocess.Popen[bytes]", patience: float = 300.0) -> str:
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up and process.poll() is None:
        try:
            httpx.get(f"{url}/openapi.json", timeout=10, trust_env=False)
            return url
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("The plain route did not start.")


def searches_of_plain(generator: Generator, pictures: Pictures, clients: int = 8) -> list[Search]:
    """Every probe once, as the plain route answers it."""
    return [
        Search(mate, tuple((each["name"], each["similarity"]) for each in body["candidates"]))
        for mate, (_, body) in zip(pictures.mates, generator.each(clients).bodies, strict=True)
    ]


def compare(
    report: Report,
    pictures: Pictures,
    pack: str,
    *,
    case: str,
    aim: float,
    faces: int,
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    judge: bool,
) -> None:
    """Both sides in turns on `pictures`; rows and goals go to `report`."""
    with (
        plain_route(pack, pictures) as url,
        enrolled_service(pack, pictures) as enrolled,
        Generator(url, "/identify", pictures.probes) as plain,
        Generator(
            enrolled.own.url,
            "/identify",
            pictures.probes,
            fields={**FIELDS, "max_faces": str(faces)},
        ) as ours,
    ):
        for count in clients:
            figures = in_turns(
                {
                    "plain route": lambda count=count: plain.closed(count, seconds).rate,
                    "Rollcall": lambda count=count: ours.closed(count, seconds).rate,
                },
                rounds,
            )
            gain = ratio(figures["Rollcall"], figures["plain route"])
            print(f"{case}, {count} clients: {gain} times the plain route", flush=True)
            for side, rates in figures.items():
                report.rows.append(
                    {
                        "pictures": case,
                        "clients": count,
                        "side": side,
                        "requests/s": round(sorted(rates)[len(rates) // 2], 1),
                    }
                )
            report.goal(
                f"{case}, {count} clients: times the plain route",
                aim=f">= {aim}",
                figure=gain,
                met=gain.median >= aim,
            )
        if not judge:
            report.notes.append(f"{case}: accuracy was not measured")
            return
        theirs = accuracy(searches_of_plain(plain, pictures))
        own = accuracy(searches_of_service(ours, enrolled, pictures))
        report.goal(
            f"{case}: rank-1",
            aim=f">= {theirs.rank_1:.4f} (plain route)",
            figure=own.rank_1,
            met=own.rank_1 >= theirs.rank_1,
        )
        if own.fnir is not None and theirs.fnir is not None:
            report.goal(
                f"{case}: FNIR at FPIR 1 %",
                aim=f"<= {theirs.fnir:.4f} (plain route)",
                figure=own.fnir,
                met=own.fnir <= theirs.fnir,
            )


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw/ in it")
    root.add_argument("--pack", required=True, help="a folder with InsightFace's files")
    root.add_argument("--judged", type=int, default=JUDGED, help="pictures for accuracy; 0: none")
    root.add_argument("--case", choices=("same", "own", "both"), default="both", help="one alone")
    root.add_argument("--clients", type=int, nargs="+", default=[8, 32], help="clients at a time")
    root.add_argument("--seconds", type=float, default=5.0, help="seconds of a turn")
    asked = root.parse_args()
    # As Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report(
        "plain_route" if asked.case == "both" else f"plain_route-{asked.case}",
        "How does the service compare with the route that many write first?",
        about={"pack": Path(asked.pack).name},
    )
    for name, case, enlarge, aim, faces in (
        # Asked for one face alone, the service would look at a smaller picture first.
        ("same", f"{SAME} pixels, both detect at {SAME}", SAME, 1.35, 2),
        ("own", "250 pixels, each at its own size", 0, 2.2, 1),
    ):
        if asked.case not in (name, "both"):
            continue
        with read_pictures(
            asked.data, enlarge=enlarge, most=asked.judged, quick=asked.quick
        ) as pictures:
            compare(
                report,
                pictures,
                asked.pack,
                case=case,
                aim=aim,
                faces=faces,
                clients=asked.clients[:1] if asked.quick else asked.clients,
                seconds=1.0 if asked.quick else asked.seconds,
                rounds=1 if asked.quick else ROUNDS,
                judge=asked.judged > 0 and not asked.quick,
            )
    report.save(asked.out)


if __name__ == "__main__":
    main()
