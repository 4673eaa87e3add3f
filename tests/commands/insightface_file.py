"""A file as InsightFace Server writes it: its tables, as far as an importer can care for them."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.types import Face, ImageLimits
from app.vision.decode import decode

_TABLES = """
CREATE TABLE collections (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
    model_id TEXT NOT NULL, model_version TEXT NOT NULL, model_digest TEXT NOT NULL,
    embedding_dimension INTEGER NOT NULL, preprocessing_version TEXT NOT NULL,
    metadata_json TEXT NOT NULL DEFAULT '{}', created_at TEXT NOT NULL
);
CREATE TABLE persons (
    collection_id TEXT NOT NULL REFERENCES collections(id), id TEXT NOT NULL, name TEXT,
    external_id TEXT, metadata_json TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY(collection_id, id), UNIQUE(collection_id, external_id)
);
CREATE TABLE face_samples (
    id TEXT PRIMARY KEY, collection_id TEXT NOT NULL, person_id TEXT NOT NULL,
    embedding BLOB NOT NULL, embedding_dimension INTEGER NOT NULL,
    bounding_box_json TEXT NOT NULL, landmarks_json TEXT, detection_score REAL NOT NULL,
    quality_json TEXT NOT NULL, model_id TEXT NOT NULL, model_version TEXT NOT NULL,
    model_digest TEXT NOT NULL, preprocessing_version TEXT NOT NULL, crop_path TEXT,
    FOREIGN KEY(collection_id, person_id) REFERENCES persons(collection_id, id)
);
"""
_SINCE_MIGRATION_4 = (
    "ALTER TABLE face_samples ADD COLUMN crop_image BLOB",
    "ALTER TABLE face_samples ADD COLUMN crop_media_type TEXT",
    "ALTER TABLE face_samples ADD COLUMN embedding_source TEXT NOT NULL DEFAULT 'server'",
)
PREPROCESSING = "insightface-arcface-112-1"
MADE = "2026-10-01T12:00:00.000Z"


@dataclass
class ServerFile:
    """`old`: of a version that kept cut-outs in files."""

    path: Path
    digest: str = "0" * 64
    old: bool = False
    connection: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = sqlite3.connect(self.path)
        self.connection.executescript(_TABLES)
        if not self.old:
            for statement in _SINCE_MIGRATION_4:
                self.connection.execute(statement)

    def collection(self, name: str, dimension: int) -> None:
        self.connection.execute(
            "INSERT INTO collections VALUES (?, ?, '', 'buffalo_l', '1', ?, ?, ?, '{}', ?)",
            (name, f"The {name}", self.digest, dimension, PREPROCESSING, MADE),
        )

    def person(self, collection: str, person_id: str, **said: Any) -> None:
        self.connection.execute(
            "INSERT INTO persons VALUES (?, ?, ?, ?, ?)",
            (
                collection,
                person_id,
                said.get("name"),
                said.get("external_id"),
                json.dumps(said.get("metadata", {})),
            ),
        )

    def face(
        self,
        collection: str,
        person_id: str,
        face_id: str,
        face: Face,
        embedding: Sequence[float],
        **more: Any,
    ) -> None:
        box = face.box
        pixels = {
            "x": round(box.x), "y": round(box.y),
            "width": round(box.width), "height": round(box.height),
        }  # fmt: skip
        row: dict[str, Any] = {
            "id": face_id,
            "collection_id": collection,
            "person_id": person_id,
            "embedding": np.asarray(embedding, "<f4").tobytes(),
            "embedding_dimension": len(embedding),
            "bounding_box_json": json.dumps({"pixels": pixels, "normalized": {}}),
            "landmarks_json": json.dumps(face.landmarks.tolist()),
            "detection_score": face.score,
            "quality_json": "{}",
            "model_id": "buffalo_l",
            "model_version": "1",
            "model_digest": self.digest,
            "preprocessing_version": PREPROCESSING,
            **more,
        }
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.connection.execute(
            f"INSERT INTO face_samples ({columns}) VALUES ({marks})", tuple(row.values())
        )

    def done(self) -> Path:
        self.connection.commit()
        self.connection.close()
        return self.path


def cut_out(photo: bytes, face: Face) -> bytes:
    """As that server cuts: the box of the face, squeezed into a square of 112 pixels, JPEG."""
    pixels, box = decode(photo, ImageLimits()), face.box
    part = pixels[
        max(0, int(box.y)) : int(box.y + box.height) + 1,
        max(0, int(box.x)) : int(box.x + box.width) + 1,
    ]
    square = cv2.resize(part, (112, 112), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()
