"""Templates of InsightFace Server into a collection here, part by part, with nothing doubled.

Ids are made of the ids there and the name of the collection here, so whoever and whatever is here
already is known, and stays as it is. A part that is refused is halved until the one to blame is
found.
"""

import argparse
import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid5

import numpy as np
from rollcall_client import AsyncRollcall
from rollcall_client.errors import BadRequest, Conflict, RollcallError

from app.commands.bulk import PersonKey
from app.commands.exits import DONE, PARTLY
from app.commands.ledger import Report, reporting
from app.commands.service import PATIENT, in_words, service
from app.commands.showing import paint, plain, print_json
from app.commands.sources.insightface_server import Home, InsightFaceServer, Sample, Somebody
from app.settings import Settings

# Of ids that are made of other ids, and are the same on every run.
_OURS: Final = UUID("6e6b6b4e-6a0b-5a52-9d0f-9e0f6f3a5c11")
_PART: Final = 600_000
"""Characters of JSON in a request."""
_FACES: Final = 100
"""Faces of one person in a part."""
_LONGEST: Final = 2e-3
"""What the length of a template may differ from one by."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some faces of a person, as they are sent. `size` is in characters of JSON."""

    external_id: str
    references: tuple[str, ...]
    person: Mapping[str, Any]
    faces: tuple[Mapping[str, Any], ...]
    size: int


@dataclass(slots=True)
class Account:
    """What became of it."""

    report: Report | None
    persons: int = 0
    faces: int = 0
    seen: int = 0
    revision: int | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, reference: str, external_id: str, reason: str, detail: str) -> None:
        row = {"path": reference, "person": external_id, "reasons": [reason], "detail": detail}
        self.refusals.append(row)
        if self.report is not None:
            self.report.add(row)


def run_transfer(
    asked: argparse.Namespace,
    settings: Settings,
    source: InsightFaceServer,
    home: Home,
    model: str,
) -> int:
    """Take over `home` with its templates, which are of `model`; the exit status.

    Raises Failed, NotNow, CannotStart.
    """
    with reporting(asked.report) as report:
        account = Account(report)
        asyncio.run(_transfer(asked, settings, source, home, model, account))
    _say(asked, account, model)
    return PARTLY if account.refusals else DONE


async def _transfer(
    asked: argparse.Namespace,
    settings: Settings,
    source: InsightFaceServer,
    home: Home,
    model: str,
    account: Account,
) -> None:
    try:
        async with service(asked, settings, retries=PATIENT) as client:
            for part in parts(pieces(source, home, asked.collection, account)):
                await _send(client, asked.collection, model, part, account)
    except RollcallError as error:
        raise in_words(error) from None


async def _send(
    client: AsyncRollcall, collection: str, model: str, part: list[Piece], account: Account
) -> None:
    persons = {piece.person["id"]: piece.person for piece in part}
    faces = [face for piece in part for face in piece.faces]
    try:
        taken = await client.import_part(collection, model, list(persons.values()), faces)
    except (BadRequest, Conflict) as refusal:
        if refusal.code == "model_changed":
            raise
        if len(part) > 1:
            middle = len(part) // 2
            await _send(client, collection, model, part[:middle], account)
            await _send(client, collection, model, part[middle:], account)
            return
        [piece] = part
        for reference in piece.references or ("",):
            account.refuse(reference, piece.external_id, refusal.code, refusal.detail)
        return
    account.persons += taken.persons
    account.faces += taken.faces
    account.seen += len(faces)
    account.revision = taken.revision


def pieces(
    source: InsightFaceServer, home: Home, collection: str, account: Account
) -> Iterator[Piece]:
    """Everybody there, also without a face; templates that cannot be taken are accounted for."""
    seed = uuid5(_OURS, "\0".join((collection, home.id, home.made)))
    for somebody in source.persons(home):
        good = [
            sample
            for sample in source.samples(home, somebody)
            if _is_good(sample, home, somebody, account)
        ]
        for begin in range(0, max(len(good), 1), _FACES):
            yield _piece(seed, somebody, good[begin : begin + _FACES])


def parts(every: Iterator[Piece]) -> Iterator[list[Piece]]:
    """As many pieces together as a request may hold."""
    part: list[Piece] = []
    size = 0
    for piece in every:
        if part and size + piece.size > _PART:
            yield part
            part, size = [], 0
        part.append(piece)
        size += piece.size
    if part:
        yield part


def _is_good(sample: Sample, home: Home, somebody: Somebody, account: Account) -> bool:
    reference, external_id = reference_of(sample), somebody.said.external_id
    if sample.digest != home.digest or len(sample.template) != 4 * home.dimension:
        account.refuse(
            reference,
            external_id,
            "model_differs",
            "Its template is not of its collection's model.",
        )
    elif not sample.made_there:
        account.refuse(
            reference,
            external_id,
            "template_of_elsewhere",
            "Its template was sent to that server by a caller, and nothing shows which model made "
            "it. Enrol a photo.",
        )
    elif _unit(sample.template) is None:
        account.refuse(reference, external_id, "template_invalid", "Its template is damaged.")
    else:
        return True
    return False


def _unit(template: bytes) -> bytes | None:
    """A template of length one, None for one that is far from it."""
    vector = np.frombuffer(template, "<f4").astype(np.float64)
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= _LONGEST:  # also where it is NaN
        return None
    return (vector / length).astype("<f4").tobytes()


def reference_of(sample: Sample) -> str:
    return f"insightface-server:{sample.id}"


def _piece(seed: UUID, somebody: Somebody, samples: list[Sample]) -> Piece:
    person_id = uuid5(seed, f"person\0{somebody.id}")
    person = {"id": str(person_id), **_of_person(somebody.said)}
    faces = tuple(_of_face(seed, person_id, sample) for sample in samples)
    size = len(json.dumps(person)) + sum(len(json.dumps(face)) for face in faces)
    references = tuple(reference_of(sample) for sample in samples)
    return Piece(somebody.said.external_id, references, person, faces, size)


def _of_person(said: PersonKey) -> dict[str, Any]:
    return {
        "name": said.name,
        "external_id": said.external_id,
        "metadata": dict(said.metadata or {}),
    }


def _of_face(seed: UUID, person_id: UUID, sample: Sample) -> dict[str, Any]:
    """What is measured otherwise there (sharpness, brightness, pose) is left at nothing."""
    template = _unit(sample.template)
    if template is None:
        raise ValueError("a template that was looked at before")
    face: dict[str, Any] = {
        "id": str(uuid5(seed, f"face\0{sample.id}")),
        "person_id": str(person_id),
        "reference": reference_of(sample)[:255],
        "bounding_box": sample.box,
        "detection_score": sample.score,
        "quality": {
            "size": min(sample.box[2:]),
            "detection_score": sample.score,
            **dict.fromkeys(("sharpness", "brightness", "yaw", "pitch", "roll"), 0.0),
        },
        "template": base64.b64encode(template).decode(),
    }
    if sample.landmarks is not None:
        face["landmarks"] = sample.landmarks
    return face


def _say(asked: argparse.Namespace, account: Account, model: str) -> None:
    there = account.seen - account.faces
    if asked.json:
        print_json(
            {
                "collection": asked.collection,
                "taken": "templates",
                "model": model,
                "enrolled": account.faces,
                "persons_created": account.persons,
                "already_there": there,
                "refused": account.refusals,
                "revision": account.revision,
            }
        )
        return
    print(f"taken          {account.faces} templates, {account.persons} new persons")
    if there:
        print(f"already there  {there}")
    if account.refusals:
        print(paint(f"refused        {len(account.refusals)}", "yellow"))
        for row in account.refusals[:5]:
            print(f"               {plain(row['path'])}: {plain(row['detail'])}")
    print(f"collection     {plain(asked.collection)}, model {model}")
