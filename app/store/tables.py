"""The tables. migrations/ makes them; a test holds the two equal.

Every row below a collection goes with it, and every row below a person goes with the person:
erasure is a cascade of the database, not care in the code.
"""

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


collections = Table(
    "collections",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # The model that answers for this collection; null until the first enrolment binds one.
    Column("model", Text),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("digest", LargeBinary, nullable=False),
    _now("created_at"),
)

# Data keys, wrapped by a root secret that is never in the database. A collection has one for each
# version of its key; those of the whole installation have a purpose and no collection.
vault_keys = Table(
    "vault_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("collection_id", Uuid, ForeignKey(collections.c.id, ondelete="CASCADE")),
    Column("version", Integer, nullable=False),
    Column("secret_id", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    _now("created_at"),
    UniqueConstraint("collection_id", "version"),
    Index(None, "purpose", unique=True, postgresql_where=text("collection_id IS NULL")),
)


def _sealed_by_key_version() -> ForeignKeyConstraint:
    """A key that something is sealed with cannot go. Looked at when the transaction commits, so
    that a collection may go with both."""
    return ForeignKeyConstraint(
        ["collection_id", "key_version"],
        ["vault_keys.collection_id", "vault_keys.version"],
        deferrable=True,
        initially="DEFERRED",
    )


# The models whose templates a collection may hold. Today one; while a collection moves to
# another model it is two, and templates of any third are refused by the foreign key.
collection_models = Table(
    "collection_models",
    metadata,
    Column("collection_id", Uuid, ForeignKey(collections.c.id, ondelete="CASCADE")),
    Column("model", Text),
    Column("dimension", Integer, nullable=False),
    _now("bound_at"),
    PrimaryKeyConstraint("collection_id", "model"),
)

persons = Table(
    "persons",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Given under the collection's lock: the order of enrolment, for paging that never skips.
    Column("sequence", BigInteger, Identity(always=True), nullable=False),
    Column("collection_id", Uuid, ForeignKey(collections.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text),
    Column("external_id", Text),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # Where the caller keeps the person's consent, and until when the person may be kept.
    Column("consent", Text),
    Column("expires_at", DateTime(timezone=True)),
    _now("created_at"),
    _now("updated_at"),
    UniqueConstraint("collection_id", "external_id"),
    UniqueConstraint("collection_id", "id"),
    Index(None, "collection_id", "sequence"),
    Index(None, "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

faces = Table(
    "faces",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sequence", BigInteger, Identity(always=True), nullable=False),
    Column("collection_id", Uuid, nullable=False),
    Column("person_id", Uuid, nullable=False),
    # x, y, width, height, and five landmarks as x, y pairs, in pixels of the upright image.
    Column("bounding_box", ARRAY(REAL), nullable=False),
    Column("landmarks", ARRAY(REAL), nullable=False),
    Column("detection_score", REAL, nullable=False),
    Column("quality", JSONB, nullable=False),
    # The caller's own word for the photo that it came from.
    Column("reference", Text),
    # The picture that it was found in: one id for all faces that were found there together, where
    # such a protocol enrolled them, and its width and height, where they were noted.
    Column("image_id", Uuid),
    Column("image_size", ARRAY(Integer)),
    _now("created_at"),
    ForeignKeyConstraint(
        ["collection_id", "person_id"],
        ["persons.collection_id", "persons.id"],
        ondelete="CASCADE",
        onupdate="CASCADE",
    ),
    UniqueConstraint("id", "person_id"),
    Index(None, "person_id", "sequence"),
    # For the cascade from persons; without it every deletion reads the whole table.
    Index(None, "collection_id", "person_id"),
)

templates = Table(
    "templates",
    metadata,
    Column("face_id", Uuid),
    Column("model", Text),
    Column("collection_id", Uuid, nullable=False),
    Column("person_id", Uuid, nullable=False),
    # Of the collection's key; null where an older version stored the vector in plain.
    Column("key_version", Integer),
    # float32[D], little-endian, sealed (app.store.sealing). STORAGE PLAIN (set in the migration):
    # at 2 kB the default would move each vector into a side table and cost two thirds of the load
    # speed.
    Column("vector", LargeBinary, nullable=False),
    PrimaryKeyConstraint("face_id", "model"),
    ForeignKeyConstraint(
        ["face_id", "person_id"],
        ["faces.id", "faces.person_id"],
        ondelete="CASCADE",
        onupdate="CASCADE",
    ),
    ForeignKeyConstraint(
        ["collection_id", "model"],
        ["collection_models.collection_id", "collection_models.model"],
        ondelete="CASCADE",
    ),
    _sealed_by_key_version(),
    Index(None, "collection_id", "model"),
    Index(None, "collection_id", "key_version"),
    Index(None, "face_id", "person_id"),
)

# The aligned crop of an enrolled face, where it is kept: a PNG, sealed.
crops = Table(
    "crops",
    metadata,
    Column("face_id", Uuid, ForeignKey(faces.c.id, ondelete="CASCADE"), primary_key=True),
    Column("collection_id", Uuid, nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("picture", LargeBinary, nullable=False),
    _sealed_by_key_version(),
    Index(None, "collection_id", "key_version"),
)

changes = Table(
    "changes",
    metadata,
    Column("collection_id", Uuid, ForeignKey(collections.c.id, ondelete="CASCADE")),
    Column("revision", BigInteger),
    Column("parent", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("added", ARRAY(Uuid), nullable=False),
    Column("removed", ARRAY(Uuid), nullable=False),
    _now("created_at"),
    PrimaryKeyConstraint("collection_id", "revision"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    # Whoever holds the reservation; a lease that has run out may be taken over.
    Column("holder", Uuid, nullable=False),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Column("answer", JSONB),
    # An answer speaks of a person, so it goes when the person goes.
    Column("person_id", Uuid, ForeignKey(persons.c.id, ondelete="CASCADE"), index=True),
    _now("created_at"),
    Index(None, "created_at"),
)

# A key is shown once; what is kept is an HMAC of it under a secret that is not in this table.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    # The key before the last rotation, as long as it may still be used.
    Column("previous_digest", LargeBinary),
    Column("previous_until", DateTime(timezone=True)),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("collections", ARRAY(Text)),
    Column("requests_a_minute", Integer),
    Column("concurrency", Integer),
    _now("created_at"),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
)

# How far ahead of time each bucket has been spent (GCRA's theoretical arrival time).
key_limits = Table(
    "key_limits",
    metadata,
    Column("key_id", Text, ForeignKey(api_keys.c.id, ondelete="CASCADE")),
    Column("bucket", Text),
    Column("spent_until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("key_id", "bucket"),
)

# Signatures of requests that were answered, until their date is too old to be taken anyway: one is
# good once. `attempt` is what the client called the request, where it did.
used_signatures = Table(
    "used_signatures",
    metadata,
    Column("signature", LargeBinary, primary_key=True),
    Column("attempt", Text),
    _now("used_at"),
    Column("dead_at", DateTime(timezone=True), nullable=False, index=True),
)

# Append-only: a trigger (in the migration) refuses to change or remove a row, but for a prune.
audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # Of the record, so that one that is handed in twice after a crash is written once.
    Column("id", Uuid, nullable=False, unique=True),
    # Text and not JSONB: the digest is over these very bytes.
    Column("record", Text, nullable=False),
    Column("parent", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
