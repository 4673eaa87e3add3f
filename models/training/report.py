"""What became of every photo: ``report.csv`` and ``report.json``, and the memory of a run."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from models.training.errors import TrainingDataError

TABLE: Final = "report.csv"
COUNTS: Final = "report.json"


class Outcome(StrEnum):
    """What became of a photo: kept, or dropped and why."""

    KEPT = "kept"
    UNREADABLE = "unreadable"
    NO_FACE = "no face"
    SEVERAL_FACES = "several faces"
    TOO_SMALL = "too small"
    DUPLICATE = "duplicate"
    CONFLICTING = "same bytes under another identity"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One photo. ``score``, ``size`` (shorter side in pixels) are the chosen face's, 0 of none."""

    image: str
    outcome: Outcome = Outcome.UNREADABLE
    detail: str = ""
    crop: str = ""
    faces: int = 0
    score: float = 0.0
    size: float = 0.0
    sha256: str = ""


COLUMNS: Final = [field.name for field in fields(Row)]


class Journal:
    """The report in ``folder``, written row by row, so that a run that is stopped can go on.

    ``settings`` are what decides the crops, beside the photos; ``rows`` are those of an earlier
    run. Raises TrainingDataError where the folder holds
    something else, or crops made by other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str | float]) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.rows: list[Row] = []
        self._listed: set[Row] = set()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            self._check_settings()
            self.rows = _read(self.folder / TABLE)
        self._listed = set(self.rows)
        self._write_counts([])
        # Written anew: the last line of a run that was killed may be half a line.
        self._write_table(self.rows)
        self._file = (self.folder / TABLE).open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, COLUMNS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        """Remember a photo, unless it is listed already."""
        if row not in self._listed:
            self._writer.writerow(asdict(row))
            self._file.flush()

    def finish(self, rows: Sequence[Row]) -> None:
        """Write the whole report in this order, and remove crops that are no longer in it."""
        kept = {row.crop for row in rows}
        for row in self.rows:
            if row.crop and row.crop not in kept:
                (self.folder / row.crop).unlink(missing_ok=True)
        self._write_table(rows)
        self._write_counts(rows)

    def _check_settings(self) -> None:
        path = self.folder / COUNTS
        if not path.is_file():
            raise TrainingDataError(
                f"{self.folder} is not empty, and prepare did not fill it ({COUNTS} is missing). "
                "Give an empty folder."
            )
        earlier = json.loads(path.read_text())["settings"]
        wanted = self.settings
        differ = [name for name in wanted if earlier.get(name) != wanted[name]]
        if differ:
            said = ", ".join(
                f"{name} {earlier.get(name)} then, {wanted[name]} now" for name in differ
            )
            raise TrainingDataError(
                f"The crops in {self.folder} were made otherwise: {said}. Give an empty folder."
            )

    def _write_table(self, rows: Sequence[Row]) -> None:
        part = self.folder / (TABLE + ".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
        part.replace(self.folder / TABLE)

    def _write_counts(self, rows: Sequence[Row]) -> None:
        """Without rows: a run has begun, and this is how."""
        people = Counter(row.image.rpartition("/")[0] for row in rows)
        left = Counter(row.image.rpartition("/")[0] for row in rows if row.crop)
        content = {
            "settings": self.settings,
            "finished": bool(rows),
            "photos": len(rows),
            "outcomes": dict(Counter(row.outcome.value for row in rows)),
            "identities": len(people),
            "identities_kept": len(left),
            "identities_with_one_crop": sum(1 for count in left.values() if count == 1),
        }
        part = self.folder / (COUNTS + ".part")
        part.write_text(json.dumps(content, indent=2) + "\n")
        part.replace(self.folder / COUNTS)


def _read(path: Path) -> list[Row]:
    """The rows of an earlier run; a line that was not written to its end is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return [
        Row(
            image=line["image"],
            outcome=Outcome(line["outcome"]),
            detail=line["detail"],
            crop=line["crop"],
            faces=int(line["faces"]),
            score=float(line["score"]),
            size=float(line["size"]),
            sha256=line["sha256"],
        )
        for line in lines
        if len(line.get("sha256") or "") == 64
    ]
