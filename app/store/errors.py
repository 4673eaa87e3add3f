"""What the store can say no with."""

from app.errors import CannotStart, Conflict, NotFound, Unavailable


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer in time; nothing was acknowledged."""

    code = "database_unavailable"
    retry_after = 2


class DatabaseRefuses(DatabaseUnavailable):
    """PostgreSQL answers, but not to us: wrong role, password or database name."""


class TemplateUnreadable(Unavailable):
    """A sealed template, crop or key does not open. Nothing is answered in its place."""

    code = "template_unreadable"
    retry_after = 60


class CollectionNotFound(NotFound):
    code = "collection_not_found"


class PersonNotFound(NotFound):
    code = "person_not_found"


class EnrolledFaceNotFound(NotFound):
    code = "enrolled_face_not_found"


class CropNotKept(NotFound):
    """The face is enrolled, but its crop was not kept."""

    code = "crop_not_kept"


class CollectionExists(Conflict):
    code = "collection_exists"


class ExternalIdTaken(Conflict):
    code = "external_id_taken"


class ModelChanged(Conflict):
    """The collection was bound to another model while this request was embedding."""

    code = "model_changed"


class KeyReused(Conflict):
    """The Idempotency-Key came before with another request."""

    code = "idempotency_key_reused"


class KeyInFlight(Conflict):
    """The Idempotency-Key is being worked on."""

    code = "idempotency_key_in_flight"
    retry_after = 1


class BackupFailed(CannotStart):
    """No backup was made: what stands in its folder is not one."""

    code = "backup_failed"


class RestoreRefused(CannotStart):
    """A backup that is damaged, of another kind, or does not go into this database."""

    code = "restore_refused"


class KeyNotFound(NotFound):
    """No API key of that id is in use."""

    code = "key_not_found"
