"""How this door says no: an error's name as botocore raises it, and what of ours becomes which."""

from collections.abc import Mapping
from typing import Final

from app.api.intake import BodyTimeout, BodyTooLarge
from app.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ImageRefused,
    NotFound,
    RollcallError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from app.store.errors import (
    CollectionExists,
    EnrolledFaceNotFound,
    KeyInFlight,
    KeyReused,
)
from app.usecases.rooms import ModelNotLoaded
from app.vision.errors import FaceNotFound, ImageEmpty, ImageTooLarge

_STATUS: Final[Mapping[str, int]] = {
    "InternalServerError": 500,
    # Amazon's is 500; the name is what its clients try again for, and 503 is what proxies know.
    "ThrottlingException": 503,
    "RequestTimeoutException": 408,
}
"""All others are 400."""

_NAMES: Final[Mapping[type[RollcallError], str]] = {
    BadRequest: "InvalidParameterException",
    BodyTimeout: "RequestTimeoutException",
    BodyTooLarge: "ImageTooLargeException",
    ImageRefused: "InvalidImageFormatException",
    ImageTooLarge: "ImageTooLargeException",
    ImageEmpty: "InvalidParameterException",
    FaceNotFound: "InvalidParameterException",
    Unauthenticated: "UnrecognizedClientException",
    Forbidden: "AccessDeniedException",
    TooMany: "ProvisionedThroughputExceededException",
    NotFound: "ResourceNotFoundException",
    EnrolledFaceNotFound: "InvalidParameterException",
    Conflict: "ConflictException",
    CollectionExists: "ResourceAlreadyExistsException",
    KeyReused: "IdempotentParameterMismatchException",
    KeyInFlight: "ThrottlingException",
    ModelNotLoaded: "ResourceNotReadyException",
    Unavailable: "ThrottlingException",
}


class Refused(Exception):
    """What this door refuses by itself. `name` is the error's, as clients catch it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def refusal_of(error: RollcallError) -> Refused:
    """What an error of ours is called here: by its nearest class in the table."""
    name = next((_NAMES[each] for each in type(error).__mro__ if each in _NAMES), None)
    return Refused(name or "InternalServerError", error.detail)


def status_of(name: str) -> int:
    return _STATUS.get(name, 400)
