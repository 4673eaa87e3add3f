"""How much of the bare pipeline's pace is left with a service around it, and who waits how long.

    python -m benchmarks.service --data DIR [--pack PACK] [--seconds N]

`/identify` at 1 to 64 clients in turns with the bare pipeline (benchmarks.pipeline, in its best
arrangement, same pictures and same detector), then open loops at half and at four fifths of what
it can. The load generator and PostgreSQL run on the same cores: their processor time is printed,
and the ratio of processor time a picture is given beside the plain ratio.
"""

import heapq
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.enrolled import FIELDS, Enrolled, accuracy, enrolled_service, searches_of_service
from benchmarks.load import Generator, Heard
from benchmarks.pictures import read_pictures
from benchmarks.pipeline import Arrangement, Crew, Pace, crew
from benchmarks.report import Report, in_turns, options, ratio

CLIENTS: Final = (1, 2, 4, 8, 16, 32, 64)
SATURATED: Final = 32
ROUNDS: Final = 5
SHARES: Final = (0.5, 0.8)
_ARRIVALS: Final = 400_000


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the service: what was heard, and its processor milliseconds a picture."""

    heard: Heard
    cpu_ms: dict[str, float]

    @property
    def cpu(self) -> float:
        return sum(self.cpu_ms.values())


def closed(enrolled: Enrolled, generator: Generator, clients: int, seconds: float) -> Turn:
    before = enrolled.own.cpu_seconds()
    heard = generator.closed(clients, seconds)
    after = enrolled.own.cpu_seconds()
    return Turn(heard, {name: (after[name] - before[name]) / heard.count * 1e3 for name in after})


def efficiency(
    report: Report,
    enrolled: Enrolled,
    generator: Generator,
    bare: Crew,
    *,
    seconds: float,
    rounds: int,
) -> None:
    """The service at saturation in turns with the bare pipeline."""
    turns: list[Turn] = []
    paces: list[Pace] = []

    def service() -> float:
        turns.append(closed(enrolled, generator, SATURATED, seconds))
        return turns[-1].heard.rate

    def pipeline() -> float:
        paces.append(bare.pace(seconds))
        return paces[-1].rate

    figures = in_turns({"bare": pipeline, "service": service}, rounds)
    share = ratio(figures["service"], figures["bare"])
    report.goal(
        f"requests/s at {SATURATED} clients, of the bare pipeline's pictures/s",
        aim=">= 0.92",
        figure=share,
        met=share.median >= 0.92,
    )
    paces, turns = paces[1:], turns[1:]
    cost = ratio([each.cpu_ms for each in paces], [each.cpu for each in turns])
    report.goal(
        "the same by processor time a picture (generator not counted)",
        aim=">= 0.92",
        figure=cost,
        met=cost.median >= 0.92,
    )
    middle = sorted(turns, key=lambda turn: turn.cpu)[len(turns) // 2]
    report.notes.append(
        f"processor ms a picture: bare {sorted(p.cpu_ms for p in paces)[len(paces) // 2]:.2f}; "
        + ", ".join(f"{name} {ms:.2f}" for name, ms in middle.cpu_ms.items())
        + f"; load generator {middle.heard.cpu / middle.heard.count * 1e3:.2f}"
    )


def crowd(
    report: Report, enrolled: Enrolled, generator: Generator, clients: int, seconds: float
) -> Turn:
    """One row of the table."""
    turn = closed(enrolled, generator, clients, seconds)
    report.rows.append(_row("closed", str(clients), turn.heard, turn.cpu))
    return turn


def _row(loop: str, load: str, heard: Heard, cpu: float | None = None) -> dict[str, object]:
    return {
        "loop": loop,
        "clients or rate": load,
        "requests/s": round(heard.rate, 1),
        "p50 ms": round(heard.p50 * 1e3, 1),
        "p99 ms": round(heard.p99 * 1e3, 1),
        "slowest ms": round(heard.slowest * 1e3, 1),
        "refused": sum(n for status, n in heard.statuses.items() if status in ("429", "503")),
        "CPU ms a request": None if cpu is None else round(cpu, 2),
    }


def queueing(servers: int, load: float) -> float:
    """p99 of the time in a queue, by the time of service: of random arrivals (Poisson) before so
    many servers that all take the same time, busy for a share of `load`. Nobody who gives a picture
    one core can be below that. Simulated."""
    draw = np.random.default_rng(0)
    arrivals = np.cumsum(draw.exponential(1 / (load * servers), _ARRIVALS)).tolist()
    free = [0.0] * servers
    spent = []
    for came in arrivals:
        done = max(came, heapq.heappop(free)) + 1.0
        heapq.heappush(free, done)
        spent.append(done - came)
    return float(np.quantile(spent, 0.99))


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--data", type=Path, required=True, help="the folder with lfw/ in it")
    root.add_argument("--pack", default="starter", help="a pack by name or path")
    root.add_argument("--seconds", type=float, default=5.0, help="seconds of a turn")
    root.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    root.add_argument("--judged", type=int, default=1000, help="pictures for accuracy; 0: none")
    asked = root.parse_args()
    # As Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seconds = 1.0 if asked.quick else asked.seconds
    cores = len(os.sched_getaffinity(0))
    name = Path(asked.pack).name
    report = Report(
        f"service-{name}",
        f"How much of the bare pipeline's pace has /identify? (pack {name}, LFW)",
        about={"pack": name, "cores": cores},
    )
    with read_pictures(asked.data, most=asked.judged, quick=asked.quick) as pictures:
        with (
            crew("own", asked.pack, pictures, Arrangement(cores, 1)) as bare,
            enrolled_service(asked.pack, pictures) as enrolled,
            Generator(enrolled.own.url, "/identify", pictures.probes, fields=FIELDS) as generator,
        ):
            efficiency(
                report,
                enrolled,
                generator,
                bare,
                seconds=seconds,
                rounds=1 if asked.quick else asked.rounds,
            )
            crowds = {
                clients: crowd(report, enrolled, generator, clients, seconds) for clients in CLIENTS
            }
            alone, most = crowds[1].heard, crowds[SATURATED].heard
            for share in SHARES:
                heard = generator.open(share * most.rate, 2 * seconds)
                report.rows.append(_row("open", f"{share:g} of {most.rate:.0f}/s", heard))
                if share == SHARES[0]:
                    report.goal(
                        "p99 at half load, by the median of a request alone",
                        aim="<= 2",
                        figure=round(heard.p99 / alone.p50, 2),
                        met=heard.p99 <= 2 * alone.p50,
                    )
                    load = share * most.rate * alone.p50 / cores
                    report.notes.append(
                        f"at that load (each core busy {load:.2f} of the time) an ideal queue of "
                        f"{cores} servers has p99 at {queueing(cores, load):.2f} times its service"
                    )
            # Everybody waits for those who were there before: 64 requests at the pace of all.
            last = crowds[CLIENTS[-1]].heard
            expected = CLIENTS[-1] / last.rate
            report.goal(
                f"slowest answer at {CLIENTS[-1]} clients, by clients x seconds a request",
                aim="<= 1.5",
                figure=round(last.slowest / expected, 2),
                met=last.slowest <= 1.5 * expected,
            )
            if asked.quick or not asked.judged:
                report.notes.append("accuracy was not measured")
            else:
                found = accuracy(searches_of_service(generator, enrolled, pictures))
                fnir = "unknown" if found.fnir is None else f"{found.fnir:.4f}"
                report.notes.append(f"rank-1 {found.rank_1:.4f}, FNIR at FPIR 1 % {fnir}")
    report.save(asked.out)


if __name__ == "__main__":
    main()
