"""The operations that are offered: what each takes, who may ask for it, and who does it.

Whatever is not here answers as Amazon does to an operation that does not exist.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.doors.rekognition import asks, collections, faces, pictures, search, users
from app.doors.rekognition.visit import Visit
from app.doors.rekognition.wire import Answer
from app.types import Scope


@dataclass(frozen=True, slots=True)
class Operation:
    """`scope` is what a key needs, as for the same deed through our own API; `images` how many a
    request may hold."""

    scope: Scope
    ask: type[asks.Members]
    # Each takes the visit, and a body of the type above.
    work: Callable[[Visit, Any], Awaitable[Answer]]
    images: int = 0


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateCollection": Operation("enroll", asks.CreateCollection, collections.create),
    "DescribeCollection": Operation("read", asks.DescribeCollection, collections.describe),
    "ListCollections": Operation("read", asks.ListCollections, collections.list_all),
    "DeleteCollection": Operation("delete", asks.DeleteCollection, collections.delete),
    "DetectFaces": Operation("identify", asks.DetectFaces, pictures.detect_faces, 1),
    "CompareFaces": Operation("verify", asks.CompareFaces, pictures.compare_faces, 2),
    "IndexFaces": Operation("enroll", asks.IndexFaces, faces.index_faces, 1),
    "ListFaces": Operation("read", asks.ListFaces, faces.list_faces),
    "DeleteFaces": Operation("delete", asks.DeleteFaces, faces.delete_faces),
    "SearchFaces": Operation("identify", asks.SearchFaces, search.search_faces),
    "SearchFacesByImage": Operation(
        "identify", asks.SearchFacesByImage, search.search_faces_by_image, 1
    ),
    "CreateUser": Operation("enroll", asks.CreateUser, users.create),
    "DeleteUser": Operation("delete", asks.DeleteUser, users.delete),
    "ListUsers": Operation("read", asks.ListUsers, users.list_all),
    "AssociateFaces": Operation("enroll", asks.AssociateFaces, users.associate_faces),
    "DisassociateFaces": Operation("enroll", asks.DisassociateFaces, users.disassociate_faces),
    "SearchUsers": Operation("identify", asks.SearchUsers, search.search_users),
    "SearchUsersByImage": Operation(
        "identify", asks.SearchUsersByImage, search.search_users_by_image, 1
    ),
}
