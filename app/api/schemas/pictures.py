"""What is answered about pictures: enrolled, found, verified, identified."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app.api.schemas.faces import EnrolledImageFace, Face, Rounded
from app.api.schemas.persons import Person
from app.usecases.matching import Match
from app.usecases.thresholds import Source


class RejectedImage(BaseModel):
    image_index: int
    reasons: list[str]
    detail: str


class Duplicate(BaseModel):
    """Another person of the collection who is as similar as a match."""

    person_id: UUID
    similarity: Rounded


class EnrollAnswer(BaseModel):
    person: Person
    faces: list[EnrolledImageFace]
    rejected: list[RejectedImage]
    duplicates: list[Duplicate]
    model: str
    revision: int
    request_id: str


class EmbeddedFace(Face):
    """`embedding` has length one, in the numbers of the model named beside it."""

    embedding: list[float]


class EmbeddingsAnswer(BaseModel):
    faces: list[EmbeddedFace]
    model: str
    request_id: str


class DetectAnswer(BaseModel):
    faces: list[Face]
    model: str
    request_id: str


class VerifyAnswer(BaseModel):
    """`fmr` is how often two different people score at or above the threshold, `similarity_fmr`
    how often they score as high as these two, if known. Above all that was measured both are the
    least rate that was, and so an upper bound.

    `target_face` is null and `matched_face_id` set where an enrolled person was compared.
    """

    verified: bool
    similarity: Rounded
    threshold: float
    threshold_source: Source
    fmr: float | None
    similarity_fmr: float | None
    source_face: Face
    target_face: Face | None
    matched_face_id: UUID | None
    model: str
    request_id: str


class CandidatePerson(BaseModel):
    """Only the id while PostgreSQL cannot be asked for the rest."""

    id: UUID
    name: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, match: Match) -> "CandidatePerson":
        if match.person is None:
            return cls(id=match.candidate.person_id)
        person = match.person
        return cls(
            id=person.id,
            name=person.name,
            external_id=person.external_id,
            metadata=person.metadata,
        )


class Candidate(BaseModel):
    rank: int
    similarity: Rounded
    collection: str
    person: CandidatePerson
    face_id: UUID

    @classmethod
    def ranked(cls, matches: Sequence[Match]) -> "list[Candidate]":
        return [
            cls(
                rank=rank,
                similarity=match.candidate.similarity,
                collection=match.collection,
                person=CandidatePerson.of(match),
                face_id=match.candidate.face_id,
            )
            for rank, match in enumerate(matches, 1)
        ]


class IdentifiedFace(Face):
    identified: bool
    candidates: list[Candidate]


class SearchedCollection(BaseModel):
    """`gallery_size` counts the templates that were searched, `revision` says of when."""

    name: str
    revision: int
    gallery_size: int


class IdentifyAnswer(BaseModel):
    """`gallery_size` counts the templates of all collections that were searched; `revision` is
    null where they were several. `details` is false while names could not be read."""

    faces: list[IdentifiedFace]
    threshold: float
    threshold_source: Source
    gallery_size: int
    revision: int | None
    collections: list[SearchedCollection]
    details: bool
    model: str
    request_id: str


class SearchResult(BaseModel):
    identified: bool
    candidates: list[Candidate]


class SearchAnswer(BaseModel):
    """`results` are as many as embeddings, in their order."""

    results: list[SearchResult]
    threshold: float
    threshold_source: Source
    gallery_size: int
    revision: int
    details: bool
    model: str
    request_id: str
