"""InsightFace Server as a source: its SQLite file, read and never written.

There a face has a template, and a cut-out of its photo only where its collection saves them. Cut-
outs are 112 x 112 JPEG, whatever shape the face's box had, in the row itself or, of older versions,
in a file beside the database.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import quote

from app.commands.bulk import PersonKey, Photo, Unusable
from app.commands.exits import Failed
from app.errors import ImageRefused
from app.vision.framing import framed

_NEEDED: Final = {
    "collections": {"id", "name", "created_at", "model_id", "model_digest", "embedding_dimension"},
    "persons": {"collection_id", "id", "name", "external_id", "metadata_json"},
    "face_samples": {"id", "collection_id", "person_id", "embedding", "bounding_box_json"},
}

_CUT_OUTS: Final = (
    "SELECT collection_id, count(*) FROM face_samples"
    " WHERE crop_path IS NOT NULL OR crop_image IS NOT NULL GROUP BY 1"
)
_CUT_OUTS_OF_OLD: Final = (
    "SELECT collection_id, count(*) FROM face_samples WHERE crop_path IS NOT NULL GROUP BY 1"
)


@dataclass(frozen=True, slots=True)
class Home:
    """A collection there. `digest` is over its models' files and what is done to pictures before
    them. `made` is when: a collection of that id on another server was made at another time."""

    id: str
    name: str
    made: str
    model: str
    digest: str
    preprocessing: str
    dimension: int
    persons: int
    faces: int
    crops: int


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person there."""

    id: str
    said: PersonKey


@dataclass(frozen=True, slots=True)
class Sample:
    """A face there: its box (x, y, width, height) and landmarks are pixels of a photo that is
    not kept; `template` is float32, little-endian. `made_there`: by that server, not by a caller.
    """

    id: str
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...] | None
    score: float
    digest: str
    made_there: bool
    template: bytes


class InsightFaceServer:
    """The file `insightface-server.db`. Threads may share one. Methods raise Failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        if not path.is_file():
            raise Failed("source_unknown", f"There is no file {path}.")
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
        except sqlite3.Error as error:
            raise _unreadable(path, error) from None
        self._columns = {table: self._columns_of(table) for table in _NEEDED}
        for table, needed in _NEEDED.items():
            if missing := needed - self._columns[table]:
                raise Failed(
                    "source_unknown",
                    f"{path} is no database of InsightFace Server: its table {table} lacks "
                    f"{', '.join(sorted(missing))}.",
                )

    def close(self) -> None:
        self._connection.close()

    def homes(self) -> list[Home]:
        persons, faces, crops = (
            {row[0]: int(row[1]) for row in self._rows(query)}
            for query in (
                "SELECT collection_id, count(*) FROM persons GROUP BY 1",
                "SELECT collection_id, count(*) FROM face_samples GROUP BY 1",
                _CUT_OUTS if self._inside else _CUT_OUTS_OF_OLD,
            )
        )
        return [
            Home(
                row["id"],
                row["name"],
                row["created_at"],
                row["model_id"],
                row["model_digest"].lower(),
                row["preprocessing_version"],
                row["embedding_dimension"],
                persons.get(row["id"], 0),
                faces.get(row["id"], 0),
                crops.get(row["id"], 0),
            )
            for row in self._rows("SELECT * FROM collections ORDER BY id")
        ]

    def persons(self, home: Home) -> list[Somebody]:
        rows = self._rows("SELECT * FROM persons WHERE collection_id = ? ORDER BY id", (home.id,))
        return [Somebody(row["id"], _said(row)) for row in rows]

    def samples(self, home: Home, somebody: Somebody) -> list[Sample]:
        """The faces of a person, with their templates."""
        rows = self._rows(
            "SELECT * FROM face_samples WHERE collection_id = ? AND person_id = ? ORDER BY id",
            (home.id, somebody.id),
        )
        told = "embedding_source" in self._columns["face_samples"]
        return [
            Sample(
                row["id"],
                _box(row["bounding_box_json"]),
                _landmarks(row["landmarks_json"]),
                row["detection_score"],
                row["model_digest"].lower(),
                not told or row["embedding_source"] == "server",
                row["embedding"],
            )
            for row in rows
        ]

    def photos(self, home: Home) -> Iterator[Photo]:
        """Every face as a photo, cut out as it is; those without a cut-out are no photos."""
        said = {one.id: one.said for one in self.persons(home)}
        for row in self._rows(
            "SELECT id, person_id, bounding_box_json FROM face_samples"
            " WHERE collection_id = ? ORDER BY person_id, id",
            (home.id,),
        ):
            load = partial(self._picture, row["id"], row["bounding_box_json"])
            yield Photo(said[row["person_id"]], f"insightface-server:{row['id']}", load)

    def _picture(self, face_id: str, box: str) -> bytes:
        cut_out = self._cut_out(face_id)
        _, _, width, height = _box(box)
        if not (width > 0 and height > 0 and math.isfinite(width + height)):
            width = height = 1.0
        try:
            return framed(cut_out, width, height)
        except ImageRefused as refusal:
            raise Unusable(refusal.code, refusal.detail) from None

    def _cut_out(self, face_id: str) -> bytes:
        [row] = self._rows("SELECT * FROM face_samples WHERE id = ?", (face_id,))
        if self._inside and row["crop_image"]:
            return bytes(row["crop_image"])
        if row["crop_path"]:
            folder = self._path.parent.resolve()
            file: Path = (folder / row["crop_path"]).resolve()
            if file.is_relative_to(folder) and file.is_file():
                return file.read_bytes()
        raise Unusable(
            "image_not_kept",
            "There is no cut-out of this face (its collection did not save them, or the folder "
            "face-crops is not beside the database). Enrol a photo.",
        )

    @property
    def _inside(self) -> bool:
        """Whether cut-outs may stand in the rows: older versions had them in files alone."""
        return "crop_image" in self._columns["face_samples"]

    def _columns_of(self, table: str) -> set[str]:
        return {row["name"] for row in self._rows(f"PRAGMA table_info({table})")}

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from None


def _unreadable(path: Path, error: sqlite3.Error) -> Failed:
    return Failed(
        "source_unknown",
        f"{path} cannot be read as a database: {error}. Stop the server first, or copy the file "
        "with those beside it that end in -wal and -shm.",
    )


def _said(row: sqlite3.Row) -> PersonKey:
    metadata = _object(row["metadata_json"])
    return PersonKey(
        external_id=row["external_id"] or row["id"],
        name=row["name"] or None,
        metadata=metadata or None,
    )


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _box(text: str) -> tuple[float, float, float, float]:
    """(x, y, width, height) in pixels; zeros where it says nothing of the kind."""
    try:
        pixels = _object(text)["pixels"]
        x, y, width, height = (float(pixels[side]) for side in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return 0.0, 0.0, 0.0, 0.0
    return x, y, width, height


def _landmarks(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """Five points in pixels, None where there are not five."""
    try:
        points = json.loads(text or "null")
        found = tuple((float(x), float(y)) for x, y in points)
    except (TypeError, ValueError):
        return None
    return found if len(found) == 5 else None
