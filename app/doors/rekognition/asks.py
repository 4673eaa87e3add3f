"""What each operation takes, by the names and bounds of Amazon's model, in our words inside."""

import re
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from app.api.body import Ask
from app.api.fields import CollectionName, ImageBytes
from app.doors.rekognition.errors import Refused
from app.doors.similarity import DEFAULT

_FACE_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MOST_FACES: Final = 100
"""Faces of one picture that are looked at, the largest first."""


class Members(Ask):
    """The base of all: members in Amazon's spelling; one that we do not know is an error."""

    model_config = ConfigDict(alias_generator=to_pascal)


def _nothing(value: Any) -> Any:
    if value:
        raise ValueError("is not offered here")
    return value


def _face_id(value: Any) -> Any:
    """Pydantic takes more spellings of a UUID than there are face ids."""
    if not isinstance(value, str) or not _FACE_ID.fullmatch(value):
        raise ValueError("must be the id of a face, in lower case")
    return UUID(value)


FaceId = Annotated[UUID, BeforeValidator(_face_id)]
Percent = Annotated[float, Field(ge=0, le=100)]
UserId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-:]{1,128}$")]
Token = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
PageToken = Annotated[str, Field(max_length=255)]
Filter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]
Attribute = Literal[
    "DEFAULT", "ALL", "AGE_RANGE", "BEARD", "EMOTIONS", "EYE_DIRECTION", "EYEGLASSES",
    "EYES_OPEN", "GENDER", "MOUTH_OPEN", "MUSTACHE", "FACE_OCCLUDED", "SMILE", "SUNGLASSES",
]  # fmt: skip
"""Accepted, and answered with what is measured here: none of these but the default."""


def least(threshold: float | None) -> float:
    """The similarity to reach; null is as good as nothing said."""
    return DEFAULT if threshold is None else threshold


class Image(Members):
    content: ImageBytes | None = Field(None, alias="Bytes")
    s3_object: dict[str, Any] | None = Field(None, alias="S3Object")

    def picture(self) -> bytes:
        """The bytes of the image. Raises Refused where there are none."""
        if self.s3_object is not None:
            raise Refused(
                "InvalidS3ObjectException",
                "This service reads from no bucket. Send the image itself, as Bytes.",
            )
        if self.content is None:
            raise Refused("InvalidParameterException", "Image: send Bytes.")
        return self.content


class InCollection(Members):
    collection_id: CollectionName


class CreateCollection(InCollection):
    tags: Annotated[dict[str, str] | None, AfterValidator(_nothing)] = None


class DescribeCollection(InCollection):
    pass


class DeleteCollection(InCollection):
    pass


class ListCollections(Members):
    next_token: PageToken | None = None
    max_results: int | None = Field(None, ge=0, le=4096)


class DetectFaces(Members):
    image: Image
    attributes: tuple[Attribute, ...] | None = None


class CompareFaces(Members):
    source_image: Image
    target_image: Image
    similarity_threshold: Percent | None = DEFAULT
    quality_filter: Filter | None = "NONE"


class IndexFaces(InCollection):
    image: Image
    external_image_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-:]{1,255}$")] | None = None
    detection_attributes: tuple[Attribute, ...] | None = None
    max_faces: int | None = Field(None, ge=1)
    quality_filter: Filter | None = "AUTO"


class ListFaces(InCollection):
    next_token: PageToken | None = None
    max_results: int | None = Field(None, ge=0, le=4096)
    user_id: UserId | None = None
    face_ids: tuple[FaceId, ...] | None = Field(None, min_length=1, max_length=4096)


class DeleteFaces(InCollection):
    face_ids: tuple[FaceId, ...] = Field(min_length=1, max_length=4096)


class SearchFaces(InCollection):
    face_id: FaceId
    max_faces: int | None = Field(None, ge=1, le=4096)
    face_match_threshold: Percent | None = DEFAULT


class SearchFacesByImage(InCollection):
    image: Image
    max_faces: int | None = Field(None, ge=1, le=4096)
    face_match_threshold: Percent | None = DEFAULT
    quality_filter: Filter | None = "NONE"


class AboutUser(InCollection):
    user_id: UserId
    client_request_token: Token | None = None


class CreateUser(AboutUser):
    pass


class DeleteUser(AboutUser):
    pass


class ListUsers(InCollection):
    next_token: PageToken | None = None
    max_results: int | None = Field(None, ge=1, le=500)


class AssociateFaces(AboutUser):
    face_ids: tuple[FaceId, ...] = Field(min_length=1, max_length=100)
    user_match_threshold: Percent | None = 75.0


class DisassociateFaces(AboutUser):
    face_ids: tuple[FaceId, ...] = Field(min_length=1, max_length=100)


class SearchUsers(InCollection):
    user_id: UserId | None = None
    face_id: FaceId | None = None
    user_match_threshold: Percent | None = DEFAULT
    max_users: int | None = Field(None, ge=1, le=500)


class SearchUsersByImage(InCollection):
    image: Image
    user_match_threshold: Percent | None = DEFAULT
    max_users: int | None = Field(None, ge=1, le=500)
    quality_filter: Filter | None = "NONE"
