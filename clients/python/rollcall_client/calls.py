"""Every call of the service. Here the API is spelled out, once for both clients."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import update_wrapper
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import quote
from uuid import UUID

from rollcall_client import models
from rollcall_client.call import Call, Page, Seen, reading, reading_page
from rollcall_client.uploads import Upload
from rollcall_client.wishes import Enrolment, Id, Probe, texts

P = ParamSpec("P")
T = TypeVar("T")
Wish = TypeVar("Wish")


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""In an edit: leave it as it is. None clears it."""


def _asking(
    name: str, make: Callable[P, Wish], call: Callable[[Wish], Call[T]]
) -> Callable[P, Call[T]]:
    """A function `name` with the parameters and the words of the wish that it makes a call of."""

    def asked(*args: P.args, **kwargs: P.kwargs) -> Call[T]:
        return call(make(*args, **kwargs))

    asked.__name__ = asked.__qualname__ = name
    return update_wrapper(asked, make, assigned=("__doc__",), updated=())


def enrolling(wish: Enrolment) -> Call[models.EnrollAnswer]:
    return Call(
        method="POST",
        path="enroll",
        fields=wish.fields(),
        images=wish.uploads(),
        headers={"Idempotency-Key": wish.idempotency_key},
        read=reading(models.EnrollAnswer),
        learns=lambda answer: Seen(wish.collection, answer.revision),
    )


def identifying(wish: Probe) -> Call[models.IdentifyAnswer]:
    return Call(
        method="POST",
        path="identify",
        fields=wish.fields(),
        images=wish.uploads(),
        read=reading(models.IdentifyAnswer),
        searches=wish.searched(),
        learns=_of_search,
    )


enroll = _asking("enroll", Enrolment, enrolling)
identify = _asking("identify", Probe, identifying)


def verify(
    source: Upload,
    target: Upload | None = None,
    *,
    person_id: Id | None = None,
    collection: str | None = None,
    threshold: float | None = None,
    target_fmr: float | None = None,
) -> Call[models.VerifyAnswer]:
    """Is this the same person? Two images, or one and an enrolled person of `collection`."""
    if (target is None) == (person_id is None):
        raise ValueError("compare the image with a second one (target) or with a person_id")
    told = texts(
        {
            "person_id": None if person_id is None else _id(person_id),
            "collection": collection,
            "threshold": threshold,
            "target_fmr": target_fmr,
        }
    )
    pair = [("image", source)] if target is None else [("source", source), ("target", target)]
    return Call(
        method="POST",
        path="verify",
        fields=list(told.items()),
        images=pair,
        read=reading(models.VerifyAnswer),
    )


def detect(image: Upload) -> Call[models.DetectAnswer]:
    """The faces of a picture with boxes, landmarks, scores and quality. Nothing is stored."""
    return Call(
        method="POST", path="detect", images=[("image", image)], read=reading(models.DetectAnswer)
    )


def embeddings(image: Upload) -> Call[models.EmbeddingsAnswer]:
    """The faces of a picture with their embeddings; needs a scope of its own. Nothing is stored."""
    return Call(
        method="POST",
        path="embeddings",
        images=[("image", image)],
        read=reading(models.EmbeddingsAnswer),
    )


# --- collections ----------------------------------------------------------------------------------


def collections(
    *, cursor: str | None = None, limit: int | None = None
) -> Call[Page[models.Collection]]:
    """The collections by name."""
    return _get(
        "collections",
        reading_page(models.CollectionPage, lambda page: page.collections),
        {"cursor": cursor, "limit": limit},
    )


def make_collection(name: str) -> Call[models.CollectionAnswer]:
    """Make an empty collection; an enrolment makes one at its first use too."""
    return Call(
        method="POST",
        path="collections",
        json={"name": name},
        read=reading(models.CollectionAnswer),
        repeatable=False,
    )


def collection(name: str) -> Call[models.CollectionAnswer]:
    """One collection with its counts."""
    return _get(f"collections/{_segment(name)}", reading(models.CollectionAnswer))


def delete_collection(name: str) -> Call[models.ErasedAnswer]:
    """Erase a collection and everybody in it. There is no undo."""
    return _erase(f"collections/{_segment(name)}")


def thresholds(collection: str = "default") -> Call[models.ThresholdsAnswer]:
    """The threshold that each target_fpir gives at this size of the collection."""
    return _get(f"collections/{_segment(collection)}/thresholds", reading(models.ThresholdsAnswer))


def audit_collection(name: str) -> Call[models.AuditAnswer]:
    """Is the index what the database holds?"""
    return _get(f"collections/{_segment(name)}/audit", reading(models.AuditAnswer))


def export_path(collection: str) -> str:
    return f"collections/{_segment(collection)}/export"


def import_part(
    collection: str,
    model: str,
    persons: Sequence[Mapping[str, Any]] = (),
    faces: Sequence[Mapping[str, Any]] = (),
) -> Call[models.ImportAnswer]:
    """Take in a part of a collection, as lines of its export have it: a megabyte at most."""
    return Call(
        method="POST",
        path=f"collections/{_segment(collection)}/import",
        json={"model": model, "persons": list(persons), "faces": list(faces)},
        read=reading(models.ImportAnswer),
        learns=lambda answer: Seen(collection, answer.revision),
    )


def search(
    embeddings: Sequence[Sequence[float]],
    model: str,
    collection: str = "default",
    *,
    person_ids: Sequence[Id] | None = None,
    top_k: int | None = None,
    threshold: float | None = None,
    target_fpir: float | None = None,
    min_revision: int | None = None,
) -> Call[models.SearchAnswer]:
    """Who is this, by embeddings that were made elsewhere by the collection's model?"""
    wish = {
        "person_ids": None if person_ids is None else [str(each) for each in person_ids],
        "top_k": top_k,
        "threshold": threshold,
        "target_fpir": target_fpir,
        "min_revision": min_revision,
    }
    return Call(
        method="POST",
        path="search",
        json={
            "embeddings": [list(map(float, row)) for row in embeddings],
            "model": model,
            "collection": collection,
            **{name: value for name, value in wish.items() if value is not None},
        },
        read=reading(models.SearchAnswer),
        searches=collection if min_revision is None else None,
        learns=lambda answer: Seen(collection, answer.revision),
    )


# --- persons --------------------------------------------------------------------------------------


def persons(
    collection: str = "default",
    *,
    name: str | None = None,
    external_id: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[models.Person]]:
    """The persons of a collection in order of enrolment; `name` is a part of theirs."""
    return _get(
        f"collections/{_segment(collection)}/persons",
        reading_page(models.PersonPage, lambda page: page.persons),
        {"name": name, "external_id": external_id, "cursor": cursor, "limit": limit},
    )


def person(person_id: Id) -> Call[models.PersonAnswer]:
    """One person."""
    return _get(f"persons/{_id(person_id)}", reading(models.PersonAnswer))


def edit_person(
    person_id: Id,
    *,
    name: str | Unset | None = UNSET,
    external_id: str | Unset | None = UNSET,
    metadata: Mapping[str, Any] | Unset = UNSET,
    consent: str | Unset | None = UNSET,
    expires_at: datetime | Unset | None = UNSET,
) -> Call[models.PersonAnswer]:
    """What is given is set, None clears it, `metadata` replaces the old; all else stays."""
    if isinstance(expires_at, datetime) and expires_at.tzinfo is None:
        raise ValueError("expires_at needs a time zone, as in datetime.now(UTC)")
    given = {
        "name": name,
        "external_id": external_id,
        "metadata": metadata if isinstance(metadata, Unset) else dict(metadata),
        "consent": consent,
        "expires_at": expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at,
    }
    return Call(
        method="PATCH",
        path=f"persons/{_id(person_id)}",
        json={key: value for key, value in given.items() if not isinstance(value, Unset)},
        read=reading(models.PersonAnswer),
    )


def delete_person(person_id: Id) -> Call[models.ErasedAnswer]:
    """Erase a person with all faces. There is no undo."""
    return _erase(f"persons/{_id(person_id)}")


def person_faces(person_id: Id) -> Call[list[models.KeptFace]]:
    """The enrolled faces of a person, in order of enrolment."""
    whole = reading(models.FacesAnswer)
    return _get(f"persons/{_id(person_id)}/faces", lambda response: whole(response).faces)


def merge_persons(person_id: Id, others: Sequence[Id]) -> Call[models.MovedAnswer]:
    """The faces of the others become this person's, and the others are erased."""
    ids = [str(_id(other)) for other in others]
    return _move(f"persons/{_id(person_id)}/merge", {"person_ids": ids})


def move_faces(person_id: Id, face_ids: Sequence[Id]) -> Call[models.MovedAnswer]:
    """Give enrolled faces to a person of the same collection; whoever had them stays."""
    return _move(
        f"persons/{_id(person_id)}/faces", {"face_ids": [str(_id(face)) for face in face_ids]}
    )


# --- faces ----------------------------------------------------------------------------------------


def faces(
    collection: str = "default", *, cursor: str | None = None, limit: int | None = None
) -> Call[Page[models.OwnedFace]]:
    """All enrolled faces of a collection in order of enrolment, each with whose it is."""
    return _get(
        f"collections/{_segment(collection)}/faces",
        reading_page(models.FacePage, lambda page: page.faces),
        {"cursor": cursor, "limit": limit},
    )


def face(face_id: Id) -> Call[models.FaceAnswer]:
    """One enrolled face, whose it is, and where."""
    return _get(f"faces/{_id(face_id)}", reading(models.FaceAnswer))


def face_crop(face_id: Id) -> Call[bytes]:
    """The kept picture of an enrolled face: a PNG of 112 × 112 pixels."""
    return _get(f"faces/{_id(face_id)}/crop", lambda response: response.content)


def delete_face(face_id: Id) -> Call[models.ErasedAnswer]:
    """Erase one enrolled face; the person stays, also without any."""
    return _erase(f"faces/{_id(face_id)}")


# --- the service ----------------------------------------------------------------------------------


def models_at_work() -> Call[models.ModelsAnswer]:
    """The packs at work, with licences, calibrations and the providers in use."""
    return _get("models", reading(models.ModelsAnswer))


def model_card(model: str) -> Call[str]:
    """What a pack at work says of itself: data, terms, figures, limits. Markdown."""
    return _get(f"models/{_segment(model)}/card", lambda response: response.text)


def limits() -> Call[models.LimitsAnswer]:
    """What images and enrolments may be here."""
    return _get("limits", reading(models.LimitsAnswer))


def caller() -> Call[models.CallerAnswer]:
    """Who asks, and what they may do."""
    return _get("keys/self", reading(models.CallerAnswer))


def keys(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[models.Key]]:
    """The API keys by id, revoked ones too."""
    return _get(
        "keys",
        reading_page(models.KeyPage, lambda page: page.keys),
        {"cursor": cursor, "limit": limit},
    )


def make_key(
    name: str,
    scopes: Sequence[str],
    *,
    collections: Sequence[str] | None = None,
    requests_a_minute: int | None = None,
    concurrency: int | None = None,
    expires_at: datetime | None = None,
) -> Call[models.NewKeyAnswer]:
    """Make an API key. The answer holds its text, this once."""
    told = {
        "name": name,
        "scopes": list(scopes),
        "collections": None if collections is None else list(collections),
        "requests_a_minute": requests_a_minute,
        "concurrency": concurrency,
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    return Call(
        method="POST",
        path="keys",
        json={name: value for name, value in told.items() if value is not None},
        read=reading(models.NewKeyAnswer),
        repeatable=False,
    )


def rotate_key(key_id: str, *, grace_seconds: int | None = None) -> Call[models.NewKeyAnswer]:
    """Give a key a new secret; the old one goes on for `grace_seconds`."""
    return Call(
        method="POST",
        path=f"keys/{_segment(key_id)}/rotate",
        json={} if grace_seconds is None else {"grace_seconds": grace_seconds},
        read=reading(models.NewKeyAnswer),
        repeatable=False,
    )


def revoke_key(key_id: str) -> Call[models.KeyAnswer]:
    """Revoke a key. There is no undo."""
    return Call(
        method="DELETE",
        path=f"keys/{_segment(key_id)}",
        read=reading(models.KeyAnswer),
        repeatable=False,
    )


def audit(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[models.AuditRecord]]:
    """The record of what was done, newest first."""
    return _get(
        "audit",
        reading_page(models.AuditPage, lambda page: page.records),
        {"cursor": cursor, "limit": limit},
    )


def health() -> Call[models.Health]:
    """Is the process alive?"""
    return _get("healthz", reading(models.Health))


def ready() -> Call[models.Readiness]:
    """Can it serve? Not being ready is an answer too."""
    return Call(method="GET", path="readyz", read=reading(models.Readiness), also=frozenset({503}))


def metrics() -> Call[str]:
    """Prometheus' metrics, as text."""
    return _get("metrics", lambda response: response.text)


def _get(path: str, read: Callable[[Any], T], query: Mapping[str, object] | None = None) -> Call[T]:
    return Call(method="GET", path=path, read=read, query=texts(query or {}))


def _erase(path: str) -> Call[models.ErasedAnswer]:
    # Not repeatable: the second answer would be that there is nothing, not what went.
    return Call(
        method="DELETE",
        path=path,
        read=reading(models.ErasedAnswer),
        repeatable=False,
        learns=lambda answer: Seen(answer.collection, answer.revision),
    )


def _move(path: str, told: Mapping[str, Any]) -> Call[models.MovedAnswer]:
    return Call(
        method="POST",
        path=path,
        json=told,
        read=reading(models.MovedAnswer),
        repeatable=False,
        learns=lambda answer: Seen(answer.person.collection, answer.revision),
    )


def _of_search(answer: models.IdentifyAnswer) -> Seen | None:
    if len(answer.collections) != 1:
        return None
    [one] = answer.collections
    return Seen(one.name, one.revision)


def _id(value: Id) -> UUID:
    """Raises ValueError for what is no UUID."""
    return value if isinstance(value, UUID) else UUID(value)


def _segment(name: str) -> str:
    """One part of a path, quoted. Raises ValueError for names that would be another path."""
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} is no name")
    return quote(name, safe="")
