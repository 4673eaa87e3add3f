"""What a service costs that does nothing: memory, processor time, and bytes for each template.

    python -m benchmarks.frugality [--pack starter] [--templates 200000] [--quick]

Memory is what every process of the service has resident, PostgreSQL's beside it: RSS, and PSS,
which counts a page that several share in parts. Bytes for each template are the growth of the
service's RSS from an empty gallery to a filled one, by the templates in it, less the vector's own
4 D: after a load from PostgreSQL, and after a start from the snapshot.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psutil

from app.vision.pack import read_pack
from benchmarks.filling import fill_folder
from benchmarks.local import Own, own_process
from benchmarks.report import Report, options
from tests.tiny_pack import write_tiny_pack

DIMENSION: Final = 512
SETTLE: Final = 5.0
"""Seconds after the start until the service is called idle."""

MB: Final = 1e6


def _own(service: Own) -> list[psutil.Process]:
    """The service, the process with the packs, and its workers."""
    root = psutil.Process(service.pid)
    return [root, *(each for each in root.children(recursive=True) if each.name() != "postgres")]


def _postgres(data_dir: Path) -> list[psutil.Process]:
    pid_file = data_dir / "postgres" / "data" / "postmaster.pid"
    root = psutil.Process(int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0]))
    return [root, *root.children(recursive=True)]


def _memory(processes: Iterable[psutil.Process]) -> tuple[float, float]:
    """RSS and PSS together, in MB."""
    found = [each.memory_full_info() for each in processes]
    return sum(each.rss for each in found) / MB, sum(each.pss for each in found) / MB


def _seconds(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def idle(pack: str, seconds: float) -> list[dict[str, Any]]:
    """Memory by part of the house, and the share of a core it takes for `seconds`."""
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        with own_process(pack, ROLLCALL_DATA_DIR=folder) as service:
            time.sleep(SETTLE)
            parts = {
                "service": _own(service)[:1],
                "packs and workers": _own(service)[1:],
                "all of the service": _own(service),
                "PostgreSQL": _postgres(Path(folder)),
            }
            before = {name: _seconds(each) for name, each in parts.items()}
            time.sleep(seconds)
            rows = []
            for name, each in parts.items():
                resident, proportional = _memory(each)
                rows.append(
                    {
                        "idle": name,
                        "processes": len(each),
                        "RSS MB": round(resident, 1),
                        "PSS MB": round(proportional, 1),
                        "% of a core": round(100 * (_seconds(each) - before[name]) / seconds, 2),
                    }
                )
            return rows


def beyond_the_vector(templates: int) -> dict[str, float]:
    """Bytes of RSS for each template beyond its 4 D, by how the gallery came to be."""
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        pack = write_tiny_pack(Path(folder, "pack"), dimension=DIMENSION)
        empty = _resident(pack, Path(folder, "empty"))
        filled = Path(folder, "filled")
        model = read_pack(pack).model
        asyncio.run(fill_folder(filled, "people", model, DIMENSION, templates))
        found = {}
        for way in ("from PostgreSQL", "from a snapshot"):
            found[way] = (_resident(pack, filled) - empty) / templates - 4 * DIMENSION
        return found


def _resident(pack: Path, data_dir: Path) -> float:
    """Bytes of the service itself, once it is idle."""
    with own_process(str(pack), ROLLCALL_DATA_DIR=str(data_dir)) as service:
        time.sleep(SETTLE)
        return float(psutil.Process(service.pid).memory_info().rss)


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--pack", default="starter")
    root.add_argument("--templates", type=int, default=200_000)
    root.add_argument("--seconds", type=float, default=60.0)
    given = root.parse_args()
    seconds = 10.0 if given.quick else given.seconds
    templates = 40_000 if given.quick else given.templates
    report = Report("frugality", "What does a service cost that does nothing?")
    report.rows = idle(given.pack, seconds)
    [whole] = [row for row in report.rows if row["idle"] == "all of the service"]
    # Workers share the memory of the process that they are forked from: it is there once.
    report.goal("resident, MB (a page that several map counted once)", aim="<= 250",
                figure=whole["PSS MB"], met=whole["PSS MB"] <= 250)  # fmt: skip
    report.goal("CPU, % of a core", aim="<= 1", figure=whole["% of a core"],
                met=whole["% of a core"] <= 1)  # fmt: skip
    for way, extra in beyond_the_vector(templates).items():
        report.goal(f"bytes beyond the vector, {way}", aim="<= 64", figure=extra, met=extra <= 64)
    report.about = {"pack": given.pack, "templates": templates, "seconds": seconds}
    report.save(given.out)


if __name__ == "__main__":
    main()
