"""`rollcall import-embeddings`: templates of somebody's own model, in a collection of their own."""

import argparse
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from rollcall_client import AsyncRollcall

from app.commands import embedding_files
from app.commands.embedding_files import Labelled
from app.commands.import_ import parts
from app.commands.parsing import Commands, add_command, as_json
from app.commands.progress import Progress
from app.commands.service import PATIENT, add_service_options, asking
from app.commands.showing import print_json

# What ids are made from: the same file gives the same ids, so a run that is repeated adds nothing.
_OURS: Final = UUID("5b2f6c0e-6b5e-4a43-9d0c-5c6f7a1f0a11")
_EXTERNAL: Final = "external:"


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "import-embeddings",
        "bring embeddings of your own model into a collection",
        description="Brings embeddings into a collection that is bound to a model of your own. It "
        "is kept apart from those of packs: photos are refused there, and POST /search finds by "
        "embeddings of the same model. Rows are divided by their length. .npy needs --labels, a "
        "CSV with the column person (name and reference may follow); .npz has arrays, and .parquet "
        "columns, called embedding and person. May be interrupted and run again.",
        example="rollcall import-embeddings faces.npy --labels faces.csv --collection clips "
        "--model mine-v2\n"
        "rollcall import-embeddings faces.parquet --collection clips --model mine-v2",
    )
    command.add_argument("file", type=Path, help="a .npy, .npz or .parquet file")
    command.add_argument("--labels", type=Path, metavar="FILE", help="whose the rows of a .npy are")
    command.add_argument(
        "--collection", required=True, help="one of its own, made at its first use"
    )
    command.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="what you call the model: letters, digits, ._-",
    )
    as_json(command)
    add_service_options(command)
    command.set_defaults(run=asking(_import, retries=PATIENT))


async def _import(asked: argparse.Namespace, client: AsyncRollcall) -> None:
    labelled = embedding_files.read(asked.file, asked.labels)
    model = _EXTERNAL + asked.model.removeprefix(_EXTERNAL)
    progress = Progress(len(labelled.persons), "embeddings")
    persons = faces = revision = 0
    try:
        for part in parts(lines(labelled, asked.collection)):
            taken = await client.import_part(asked.collection, model, part.persons, part.faces)
            persons += taken.persons
            faces += taken.faces
            revision = taken.revision
            progress.step(len(part.faces))
    finally:
        progress.end()
    told = {
        "collection": asked.collection,
        "model": model,
        "dimension": int(labelled.embeddings.shape[1]),
        "embeddings": len(labelled.persons),
        "persons": persons,
        "faces": faces,
        "revision": revision,
    }
    if asked.json:
        print_json(told)
    else:
        print(
            f"{asked.collection}: {persons:,} persons and {faces:,} templates are new, of "
            f"{len(labelled.persons):,} embeddings with {told['dimension']} numbers, model {model}."
        )


def lines(labelled: Labelled, collection: str) -> Iterator[tuple[str, Any, int]]:
    """As of an export: a person before their first template."""
    begun: set[UUID] = set()
    for row, (person, name, reference, embedding) in enumerate(embedding_files.each(labelled)):
        person_id = uuid5(_OURS, f"{collection}\0{person}")
        if person_id not in begun:
            begun.add(person_id)
            yield _line("person", {"id": str(person_id), "external_id": person, "name": name})
        face = {
            "id": str(uuid5(person_id, reference or f"row {row}")),
            "person_id": str(person_id),
            "reference": reference,
            "template": base64.b64encode(embedding.astype("<f4").tobytes()).decode(),
        }
        yield _line("face", face)


def _line(kind: str, content: Any) -> tuple[str, Any, int]:
    return kind, content, len(json.dumps(content, ensure_ascii=False).encode())
