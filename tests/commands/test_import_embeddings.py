"""Embeddings of a model of one's own come in from files, once, and are found."""

import csv
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.commands.typed import typed
from tests.service import Service

ROWS, DIMENSION = 30, 12


@pytest.fixture(scope="module")
def embeddings() -> Any:
    return np.random.default_rng(5).normal(size=(ROWS, DIMENSION)) * 7


PERSONS = [f"p{n % 20}" for n in range(ROWS)]


def as_npy(folder: Path, embeddings: Any) -> list[object]:
    np.save(folder / "faces.npy", embeddings)
    with (folder / "faces.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["person", "name", "reference"])
        rows.writerows((p, f"Name of {p}", f"photo {n}") for n, p in enumerate(PERSONS))
    return [folder / "faces.npy", "--labels", folder / "faces.csv"]


def as_npz(folder: Path, embeddings: Any) -> list[object]:
    np.savez(folder / "faces.npz", embedding=embeddings.astype("f4"), person=np.array(PERSONS))
    return [folder / "faces.npz"]


def as_parquet(folder: Path, embeddings: Any) -> list[object]:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"embedding": list(embeddings), "person": PERSONS})
    parquet.write_table(table, folder / "faces.parquet")
    return [folder / "faces.parquet"]


@pytest.mark.parametrize("written", [as_npy, as_npz, as_parquet])
def test_embeddings_are_brought_in_once_and_found(
    client: httpx.Client,
    shared_service: Service,
    collection: str,
    tmp_path: Path,
    embeddings: Any,
    written: Any,
) -> None:
    words = [
        *("import-embeddings", *written(tmp_path, embeddings), "--collection", collection),
        *("--model", "mine", "--json", "--url", shared_service.url),
    ]
    first = typed(*words)
    assert first.returncode == 0, first.stderr
    assert (first.json["persons"], first.json["faces"]) == (20, ROWS)
    assert first.json["model"] == "external:mine"
    again = typed(*words)
    assert (again.json["persons"], again.json["faces"]) == (0, 0)
    assert again.json["revision"] == first.json["revision"]
    answer = client.post(
        "/search",
        json={
            "embeddings": embeddings.tolist(),
            "model": "external:mine",
            "collection": collection,
            "top_k": 1,
            "threshold": 0.999,
        },
    ).json()
    found = [result["candidates"][0]["person"]["external_id"] for result in answer["results"]]
    assert found == PERSONS


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda table: table.pop("person"), "no column or array 'person'"),
        (lambda table: table.update(person=PERSONS[:-1]), "30 embeddings, and 29"),
        (lambda table: table.update(person=["", *PERSONS[1:]]), "row 1 names no person"),
        (lambda table: table["embedding"].__setitem__(3, 0), "row 4 is not finite, or only zeros"),
        (lambda table: table["embedding"].__setitem__((2, 1), np.nan), "row 3 is not finite"),
        (lambda table: table.update(embedding=np.zeros(4)), "no table of numbers"),
        (
            lambda table: table.update(person=np.array(PERSONS, dtype=object)),
            "cannot be read",  # a pickle, which would run what is in it
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_row(
    tmp_path: Path, embeddings: Any, spoil: Any, reason: str
) -> None:
    table = {"embedding": embeddings.copy(), "person": PERSONS}
    spoil(table)
    np.savez(tmp_path / "faces.npz", **table)
    done = typed(
        *("import-embeddings", tmp_path / "faces.npz", "--collection", "x", "--model", "mine"),
        *("--url", "http://127.0.0.1:1"),
    )
    assert done.returncode == 1
    assert reason in done.stderr
