"""A class for each stable code of docs/errors.md. Written by `make openapi`; do not edit."""

from collections.abc import Mapping
from typing import Final

from rollcall_client.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    RollcallError,
    ServerFault,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


class AuditUnavailable(Unavailable):
    """What was asked cannot be recorded (disk full, or PostgreSQL away for long), so it was not
    done.
    """

    code = "audit_unavailable"


class BodyTimeout(BadRequest):
    """The body came too slowly, or stopped. The connection is closed."""

    code = "body_timeout"


class BodyTooLarge(BadRequest):
    """The body has more bytes than any valid request to this address. It is refused while it
    comes in.
    """

    code = "body_too_large"


class CardNotFound(NotFound):
    """No pack at work is of that model, or it came without a card."""

    code = "card_not_found"


class CollectionExists(Conflict):
    """A collection of that name is there."""

    code = "collection_exists"


class CollectionNotFound(NotFound):
    """There is no such collection."""

    code = "collection_not_found"


class ConcurrencyLimited(TooManyRequests):
    """The key has as many requests under way as it may."""

    code = "concurrency_limited"


class ConsentMissing(BadRequest):
    """`ROLLCALL_REQUIRE_CONSENT` is on, and neither the request nor the person has a consent
    reference.
    """

    code = "consent_missing"


class CropNotKept(NotFound):
    """The face is enrolled, but its crop was not kept."""

    code = "crop_not_kept"


class CrossSite(Forbidden):
    """The service works without keys, and a web page sent this, or the `Host` header does not
    name this machine.
    """

    code = "cross_site"


class DatabaseNotDurable(Unavailable):
    """PostgreSQL is set so that it may lose what it acknowledged (`fsync=off` and the like), so
    nothing is written.
    """

    code = "database_not_durable"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer in time."""

    code = "database_unavailable"


class DecoderUnavailable(Unavailable):
    """No process can be started to decode the image."""

    code = "decoder_unavailable"


class DeviceFailed(Unavailable):
    """The detector's or the recognizer's device ran out of memory or was lost."""

    code = "device_failed"


class DuplicatePerson(Conflict):
    """`on_duplicate=reject`, and somebody in the collection looks the same. `duplicates` lists
    them.
    """

    code = "duplicate_person"


class EmbeddingFailed(Unavailable):
    """The recognizer gave no usable embedding."""

    code = "embedding_failed"


class EmbeddingInvalid(BadRequest):
    """An embedding holds a number that is not finite, or only zeros, or has not as many numbers
    as the collection's templates.
    """

    code = "embedding_invalid"


class EnrolledFaceNotFound(NotFound):
    """There is no enrolled face with this id."""

    code = "enrolled_face_not_found"


class ExternalIdTaken(Conflict):
    """Another person of the collection has this `external_id`. `person_id` names them where it
    is known.
    """

    code = "external_id_taken"


class FaceNotFound(BadRequest):
    """No face in the image."""

    code = "face_not_found"


class IdempotencyKeyInFlight(Conflict):
    """The first request with this key is still being worked on."""

    code = "idempotency_key_in_flight"


class IdempotencyKeyReused(BadRequest):
    """The key came before with another request."""

    code = "idempotency_key_reused"


class IdTaken(Conflict):
    """A person or face of an import is in another collection here already, or the face another
    person's.
    """

    code = "id_taken"


class ImageAnimated(BadRequest):
    """The image has more than one frame."""

    code = "image_animated"


class ImageBroken(BadRequest):
    """Truncated, corrupt, or in a form that no decoder here reads; or it crashed its decoder, or
    was not decoded within `ROLLCALL_DECODE_SECONDS`.
    """

    code = "image_broken"


class ImageEmpty(BadRequest):
    """No bytes came."""

    code = "image_empty"


class ImageInvalid(BadRequest):
    """The family of refused images. Never sent by itself."""

    code = "image_invalid"


class ImageTooLarge(BadRequest):
    """More bytes or more pixels than the settings allow, known before a pixel is decoded; or it
    takes more memory than a decoder may have.
    """

    code = "image_too_large"


class ImageTypeUnsupported(BadRequest):
    """Neither JPEG, PNG nor WebP by content, whatever the name says."""

    code = "image_type_unsupported"


class IndexLoading(Unavailable):
    """This process loads the collection's index for the first time."""

    code = "index_loading"


class Internal(ServerFault):
    """A fault of ours."""

    code = "internal"


class InvalidRequest(BadRequest):
    """The body is not in a form that is taken, or a field is wrong. `errors` lists field and
    message.
    """

    code = "invalid_request"


class KeyInvalid(Unauthenticated):
    """No API key came, or one that is unknown, revoked or expired; which, is not said."""

    code = "key_invalid"


class KeyNotFound(NotFound):
    """There is no key of this id in use."""

    code = "key_not_found"


class ModelChanged(Conflict):
    """The collection was bound to another model while this request was embedding."""

    code = "model_changed"


class ModelMismatch(Conflict):
    """The embeddings are of another model than the collection's."""

    code = "model_mismatch"


class ModelNotLoaded(Conflict):
    """The collection's templates were made by a model that no loaded pack has."""

    code = "model_not_loaded"


class ModelsDiffer(Conflict):
    """The collections to search together are bound to different models. `models` lists them."""

    code = "models_differ"


class NothingEnrolled(BadRequest):
    """No image of the enrolment could be used. `rejected` says why, image by image."""

    code = "nothing_enrolled"


class NothingToExport(BadRequest):
    """The collection was never enrolled into, so it has no model and no templates."""

    code = "nothing_to_export"


class Overloaded(Unavailable):
    """An image would wait longer than `ROLLCALL_QUEUE_SECONDS`, a queue is full, the request
    waited in one until the deadline, or the bodies in flight fill `ROLLCALL_BODY_MEMORY`. Said
    at once, mostly before the body is read.
    """

    code = "overloaded"


class PersonNotFound(NotFound):
    """There is no such person in this collection."""

    code = "person_not_found"


class PersonWithoutFaces(Conflict):
    """The person to compare with has no enrolled face."""

    code = "person_without_faces"


class RateLimited(TooManyRequests):
    """The key has used up its requests a minute."""

    code = "rate_limited"


class RevisionNotReached(Unavailable):
    """The index did not reach `min_revision`, or the change just made, in time. `revision` says
    where it is.
    """

    code = "revision_not_reached"


class ScopeMissing(Forbidden):
    """The key is good, and not for this. `scopes` names what it lacks."""

    code = "scope_missing"


class ScratchFailed(Unavailable):
    """The enrolled rows of a compressed gallery found no place in `ROLLCALL_DATA_DIR/scratch`,
    or cannot be read there. The index stays where it was.
    """

    code = "scratch_failed"


class SearchDeviceFailed(Unavailable):
    """The GPU failed during a search."""

    code = "search_device_failed"


class SeveralFaces(BadRequest):
    """`face=only`, and the image shows several. `faces` counts them."""

    code = "several_faces"


class TargetUnsupported(BadRequest):
    """The calibration cannot vouch for this error rate or gallery size, or the pack has none."""

    code = "target_unsupported"


class TemplateInvalid(BadRequest):
    """A template of an import is no embedding of length one, or has not as many numbers as the
    collection's.
    """

    code = "template_invalid"


class TemplateUnreadable(Unavailable):
    """A sealed template, crop or key of the collection does not open: it was changed in the
    database, or its key is gone. The collection is out of service, others are not.
    """

    code = "template_unreadable"


class VerifyLimited(TooManyRequests):
    """The key was refused too often for one person within an hour (`ROLLCALL_VERIFY_FAILURES`)."""

    code = "verify_limited"


CLASSES: Final[Mapping[str, type[RollcallError]]] = {
    "audit_unavailable": AuditUnavailable,
    "body_timeout": BodyTimeout,
    "body_too_large": BodyTooLarge,
    "card_not_found": CardNotFound,
    "collection_exists": CollectionExists,
    "collection_not_found": CollectionNotFound,
    "concurrency_limited": ConcurrencyLimited,
    "conflict": Conflict,
    "consent_missing": ConsentMissing,
    "crop_not_kept": CropNotKept,
    "cross_site": CrossSite,
    "database_not_durable": DatabaseNotDurable,
    "database_unavailable": DatabaseUnavailable,
    "decoder_unavailable": DecoderUnavailable,
    "device_failed": DeviceFailed,
    "duplicate_person": DuplicatePerson,
    "embedding_failed": EmbeddingFailed,
    "embedding_invalid": EmbeddingInvalid,
    "enrolled_face_not_found": EnrolledFaceNotFound,
    "external_id_taken": ExternalIdTaken,
    "face_not_found": FaceNotFound,
    "forbidden": Forbidden,
    "idempotency_key_in_flight": IdempotencyKeyInFlight,
    "idempotency_key_reused": IdempotencyKeyReused,
    "id_taken": IdTaken,
    "image_animated": ImageAnimated,
    "image_broken": ImageBroken,
    "image_empty": ImageEmpty,
    "image_invalid": ImageInvalid,
    "image_too_large": ImageTooLarge,
    "image_type_unsupported": ImageTypeUnsupported,
    "index_loading": IndexLoading,
    "internal": Internal,
    "invalid_request": InvalidRequest,
    "key_invalid": KeyInvalid,
    "key_not_found": KeyNotFound,
    "model_changed": ModelChanged,
    "model_mismatch": ModelMismatch,
    "model_not_loaded": ModelNotLoaded,
    "models_differ": ModelsDiffer,
    "not_found": NotFound,
    "nothing_enrolled": NothingEnrolled,
    "nothing_to_export": NothingToExport,
    "overloaded": Overloaded,
    "person_not_found": PersonNotFound,
    "person_without_faces": PersonWithoutFaces,
    "rate_limited": RateLimited,
    "revision_not_reached": RevisionNotReached,
    "scope_missing": ScopeMissing,
    "scratch_failed": ScratchFailed,
    "search_device_failed": SearchDeviceFailed,
    "several_faces": SeveralFaces,
    "target_unsupported": TargetUnsupported,
    "template_invalid": TemplateInvalid,
    "template_unreadable": TemplateUnreadable,
    "too_many_requests": TooManyRequests,
    "unavailable": Unavailable,
    "verify_limited": VerifyLimited,
}
