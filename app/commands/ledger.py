"""What became of the photos of a bulk run: counted, shown while it goes on, and reported."""

import contextlib
import csv
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from rollcall_client import models

from app.commands.bulk import Photo
from app.commands.exits import DONE, PARTLY, Failed
from app.commands.progress import Line, duration
from app.commands.showing import paint, plain, print_json

_COLUMNS: Final = ("path", "person", "reasons", "detail")
# The pace is that of the last so many seconds.
_WINDOW: Final = 20.0


class Ledger:
    """Listens to a bulk run (app.commands.bulk.Listener).

    total: how many photos will come, None where nobody knows. report: rows of what was refused.
    """

    def __init__(
        self,
        total: int | None,
        report: "Report | None" = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        out: IO[str] | None = None,
    ) -> None:
        self.total = total
        self.faces = 0
        self.persons_made = 0
        self.there = 0
        self.reasons: Counter[str] = Counter()
        self.refusals: list[dict[str, Any]] = []
        self.duplicates: list[dict[str, Any]] = []
        self.revision: int | None = None
        self._report = report
        self._clock = clock
        self._began = clock()
        self._progress = _Pace(total, clock, out)

    def begin(self) -> None:
        """From now on time counts: the service stands."""
        self._began = self._clock()
        self._progress.begin()

    @property
    def seconds(self) -> float:
        return max(self._clock() - self._began, 1e-9)

    def enrolled(self, photo: Photo, answer: models.EnrollAnswer, *, new: bool) -> None:
        self.faces += len(answer.faces)
        self.persons_made += new
        self.revision = max(self.revision or 0, answer.revision)
        self.duplicates += [
            {
                "path": photo.reference,
                "person": photo.person.external_id,
                "looks_like": str(each.person_id),
                "similarity": each.similarity,
            }
            for each in answer.duplicates
        ]
        self._progress.step(self)

    def already_there(self, _: Photo) -> None:
        self.there += 1
        self._progress.step(self)

    def refused(self, photo: Photo, reasons: list[str], detail: str) -> None:
        self.reasons.update(reasons)
        row = {
            "path": photo.reference,
            "person": photo.person.external_id,
            "reasons": reasons,
            "detail": detail,
        }
        self.refusals.append(row)
        if self._report is not None:
            self._report.add(row)
        self._progress.step(self)

    @property
    def photos(self) -> int:
        return self.faces + self.there + len(self.refusals)

    @property
    def status(self) -> int:
        """How the command ends."""
        return PARTLY if self.refusals else DONE

    def end(self) -> None:
        """Nothing more comes: the progress line gives way to what is printed next."""
        self._progress.end()

    def print_summary(self, collection: str, report: Path | None) -> None:
        rate = self.faces / self.seconds
        print(
            f"enrolled       {self.faces} photos, {self.persons_made} new persons, in "
            f"{self.seconds:.1f} s ({rate:.1f} faces/s)"
        )
        if self.there:
            print(f"already there  {self.there}")
        if self.refusals:
            reasons = ", ".join(f"{name} {count}" for name, count in self.reasons.most_common())
            print(paint(f"refused        {len(self.refusals)} ({plain(reasons)})", "yellow"))
            if report is not None:
                print(f"               each with its reason in {plain(str(report))}")
            else:
                self._print_some()
        if self.duplicates:
            print(
                f"look-alikes    {len(self.duplicates)}: photos that look like another person too "
                "(--json names them)"
            )
        at = "" if self.revision is None else f", now at revision {self.revision}"
        print(f"collection     {plain(collection)}{at}")

    def _print_some(self) -> None:
        for row in self.refusals[:5]:
            print(f"               {plain(row['path'])}: {plain(row['detail'])}")
        if len(self.refusals) > 5:
            print("               … (--report FILE lists them all)")

    def print_json(self, collection: str) -> None:
        print_json(
            {
                "collection": collection,
                "photos": self.photos,
                "enrolled": self.faces,
                "persons_created": self.persons_made,
                "already_there": self.there,
                "refused": self.refusals,
                "duplicates": self.duplicates,
                "seconds": round(self.seconds, 3),
                "faces_per_second": round(self.faces / self.seconds, 1),
                "revision": self.revision,
            }
        )


class _Pace:
    """Photos and faces of late, in a line."""

    def __init__(self, total: int | None, clock: Callable[[], float], out: IO[str] | None) -> None:
        self._total = total
        self._clock = clock
        self._shown = Line(out, clock)
        self._past: deque[tuple[float, int, int]] = deque()
        self.begin()

    def begin(self) -> None:
        self._shown.begin()
        self._past = deque([(self._clock(), 0, 0)])

    def step(self, ledger: Ledger) -> None:
        if not self._shown.due:
            return
        now = self._clock()
        self._past.append((now, ledger.photos, ledger.faces))
        while now - self._past[0][0] > _WINDOW and len(self._past) > 2:
            self._past.popleft()
        self._shown.show(self._line(ledger))

    def end(self) -> None:
        self._shown.end()

    def _line(self, ledger: Ledger) -> str:
        (then, photos, faces), (now, photos_now, faces_now) = self._past[0], self._past[-1]
        seconds = max(now - then, 1e-9)
        parts = [f"{ledger.photos}"]
        if self._total is not None:
            share = ledger.photos / max(self._total, 1)
            parts = [f"{ledger.photos}/{self._total} photos ({share:.0%})"]
        parts.append(f"{(faces_now - faces) / seconds:.1f} faces/s")
        if self._total is not None and photos_now > photos:
            left = (self._total - ledger.photos) * seconds / (photos_now - photos)
            parts.append(f"ETA {duration(left)}")
        if ledger.there:
            parts.append(f"{ledger.there} already there")
        if ledger.refusals:
            parts.append(f"{len(ledger.refusals)} refused")
        return "  ".join(parts)


class Report:
    """A table of what was refused, each row on disk as soon as it is known."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._rows = csv.writer(out)
        self._rows.writerow(_COLUMNS)
        out.flush()

    def add(self, row: dict[str, Any]) -> None:
        self._rows.writerow([row["path"], row["person"], " ".join(row["reasons"]), row["detail"]])
        self._out.flush()


@contextlib.contextmanager
def reporting(path: Path | None) -> Iterator[Report | None]:
    """A report into the file, if one is named. Raises Failed where it cannot be written."""
    if path is None:
        yield None
        return
    try:
        out = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise Failed("report_unusable", f"{path} cannot be written: {error.strerror}.") from None
    with out:
        yield Report(out)
