"""Every error by the name under which users of boto3 catch it."""

import json
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from fastapi import Request

from app.api.intake import BodyTimeout, BodyTooLarge
from app.api.loopback import CrossSite
from app.doors.rekognition.errors import refusal_of
from app.doors.rekognition.router import refuse
from app.errors import Overloaded, RollcallError
from app.store.errors import DatabaseUnavailable
from tests.api.test_contract import SERVED
from tests.doors.rekognition.speaking import MODEL, client, name_of, send, signed
from tests.service import Service

# Beside those of Amazon's model of the service: errors that all of its services have in common.
COMMON = {
    "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
    "MissingAuthenticationTokenException", "UnknownOperationException", "SerializationException",
    "RequestTimeoutException",
}  # fmt: skip


@pytest.fixture
def face(boto: BaseClient, people: str, hanks: bytes) -> str:
    records = boto.index_faces(CollectionId=people, Image={"Bytes": hanks})["FaceRecords"]
    return str(records[0]["Face"]["FaceId"])


def test_what_is_not_there_and_what_is_there_already(boto: BaseClient, people: str) -> None:
    with pytest.raises(boto.exceptions.ResourceAlreadyExistsException):
        boto.create_collection(CollectionId=people)
    missing = f"{people}-not"
    for ask in (boto.describe_collection, boto.delete_collection, boto.list_faces, boto.list_users):
        with pytest.raises(boto.exceptions.ResourceNotFoundException) as refused:
            ask(CollectionId=missing)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    for ask in (boto.delete_user, boto.search_users):
        with pytest.raises(boto.exceptions.ResourceNotFoundException):
            ask(CollectionId=people, UserId="nobody")
    with pytest.raises(boto.exceptions.ResourceNotFoundException):
        boto.list_faces(CollectionId=people, UserId="nobody")
    boto.create_user(CollectionId=people, UserId="somebody")
    with pytest.raises(boto.exceptions.ConflictException):
        boto.create_user(CollectionId=people, UserId="somebody")


def test_images_that_are_none(boto: BaseClient, people: str, hanks: bytes, faceless: bytes) -> None:
    here = {"CollectionId": people}
    for ask in (boto.index_faces, boto.search_faces_by_image, boto.search_users_by_image):
        with pytest.raises(boto.exceptions.InvalidImageFormatException):
            ask(**here, Image={"Bytes": b"no image at all"})
        with pytest.raises(boto.exceptions.ImageTooLargeException):
            ask(**here, Image={"Bytes": hanks + bytes(3_000_000)})
        with pytest.raises(boto.exceptions.InvalidS3ObjectException):
            ask(**here, Image={"S3Object": {"Bucket": "bucket", "Name": "photo.jpg"}})
        with pytest.raises(boto.exceptions.InvalidParameterException):
            ask(**here, Image={})
    for ask in (boto.search_faces_by_image, boto.search_users_by_image):
        with pytest.raises(boto.exceptions.InvalidParameterException):
            ask(**here, Image={"Bytes": faceless})
    nobody = {"Bytes": faceless}
    assert boto.index_faces(**here, Image=nobody)["FaceRecords"] == []
    assert boto.detect_faces(Image=nobody)["FaceDetails"] == []
    with pytest.raises(boto.exceptions.InvalidParameterException):
        boto.compare_faces(SourceImage=nobody, TargetImage={"Bytes": hanks})
    compared = boto.compare_faces(SourceImage={"Bytes": hanks}, TargetImage=nobody)
    assert compared["FaceMatches"] == compared["UnmatchedFaces"] == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    boto: BaseClient, people: str
) -> None:
    with pytest.raises(boto.exceptions.ImageTooLargeException):
        boto.index_faces(CollectionId=people, Image={"Bytes": bytes(9_000_000)})
    with pytest.raises(boto.exceptions.InvalidParameterException):
        boto.list_faces(CollectionId=people, NextToken="x" * 1_100_000)


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        ("create_collection", {"CollectionId": "not a name"}),
        ("create_collection", {"CollectionId": "x" * 65}),
        ("create_collection", {"CollectionId": "fine", "Tags": {"a": "b"}}),
        ("list_faces", {"MaxResults": 4097}),
        ("list_users", {"MaxResults": 501}),
        ("create_user", {"UserId": "not a name"}),
        ("search_faces", {"FaceId": "not an id"}),
        ("search_faces", {"FaceId": "00000000-0000-0000-0000-000000000000"}),
        ("search_users", {}),
        ("search_users", {"UserId": "a", "FaceId": "00000000-0000-0000-0000-000000000000"}),
        ("delete_faces", {"FaceIds": ["A" * 36]}),
        ("associate_faces", {"UserId": "a", "FaceIds": ["not an id"]}),
    ],
)
def test_parameters_out_of_bounds_are_named(
    boto: BaseClient, people: str, operation: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(boto.exceptions.InvalidParameterException) as refused:
        getattr(boto, operation)(**{"CollectionId": people, **wrong})
    assert refused.value.response["Error"]["Message"]


def test_a_page_token_that_was_not_given_is_refused(boto: BaseClient, people: str) -> None:
    for ask in (boto.list_faces, boto.list_users):
        for token in ("made up", "bnVtYmVyOjE=", "ZmFjZXM6eA==", "é"):
            with pytest.raises(boto.exceptions.InvalidPaginationTokenException):
                ask(CollectionId=people, NextToken=token)
    with pytest.raises(boto.exceptions.InvalidPaginationTokenException):
        boto.list_collections(NextToken="made up")


def test_a_token_that_came_with_another_request(boto: BaseClient, people: str) -> None:
    token = {"ClientRequestToken": f"{people}-token", "CollectionId": people}
    boto.create_user(**token, UserId="one")
    boto.create_user(**token, UserId="one")  # the same again is the same answer
    with pytest.raises(boto.exceptions.IdempotentParameterMismatchException):
        boto.create_user(**token, UserId="two")
    users = boto.list_users(CollectionId=people)["Users"]
    assert [user["UserId"] for user in users] == ["one"]


def test_what_is_not_offered_answers_as_an_operation_that_does_not_exist(
    open_service: Service, boto: BaseClient, signing: Any
) -> None:
    for ask, given in (
        (boto.detect_labels, {"Image": {"Bytes": b"x"}}),
        (boto.detect_text, {"Image": {"Bytes": b"x"}}),
        (boto.create_face_liveness_session, {}),
        (boto.list_stream_processors, {}),
    ):
        with pytest.raises(ClientError) as refused:
            ask(**given)
        assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    other = send(
        signed(open_service.url, signing("read"), "ListCollections"),
        headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"},
    )
    assert name_of(other) == "UnknownOperationException"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"\xff"])
def test_a_body_that_is_no_json(open_service: Service, signing: Any, body: bytes) -> None:
    answer = send(signed(open_service.url, signing("read"), "ListCollections", body))
    assert name_of(answer) == "SerializationException"


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b'{"MaxResults": "1"}', b'{"MaxResults": NaN}', b'{"New": 1}']
)
def test_json_that_is_no_request(open_service: Service, signing: Any, body: bytes) -> None:
    answer = send(signed(open_service.url, signing("read"), "ListCollections", body))
    assert name_of(answer) == "InvalidParameterException"


def test_consent_that_cannot_be_given_here_is_missed_here(
    replica: Service, signing: Any, collection: str, hanks: bytes
) -> None:
    """The other process enrols nobody without: boto3 has no word for it, so nobody is enrolled."""
    asking = client(replica.url, signing())
    asking.create_collection(CollectionId=collection)
    for refused in (
        lambda: asking.index_faces(CollectionId=collection, Image={"Bytes": hanks}),
        lambda: asking.create_user(CollectionId=collection, UserId="somebody"),
    ):
        with pytest.raises(asking.exceptions.InvalidParameterException, match="consent"):
            refused()
    assert asking.describe_collection(CollectionId=collection)["FaceCount"] == 0


@pytest.mark.parametrize("error", SERVED, ids=lambda error: error.__name__)
def test_every_error_of_ours_has_a_name_of_amazons(error: type[RollcallError]) -> None:
    made = error.__new__(error)
    made.detail = "x"
    name = refusal_of(made).name
    assert name in {shape.name for shape in MODEL.error_shapes} | COMMON
    assert name != "InternalServerError"


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (Overloaded("later", retry_after=3), "ThrottlingException", 503),
        (DatabaseUnavailable("later"), "ThrottlingException", 503),
        (BodyTooLarge("less"), "InvalidParameterException", 400),
        (BodyTimeout("faster"), "RequestTimeoutException", 408),
        (CrossSite("elsewhere"), "AccessDeniedException", 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_door_refuses_before_it_reads_it_refuses_in_amazons_words(
    error: RollcallError, name: str, status: int
) -> None:
    answer = refuse(_request("ListFaces"), error)
    body = json.loads(bytes(answer.body))
    assert (body["__type"], body["Message"], answer.status_code) == (name, error.detail, status)
    assert answer.headers["x-amzn-requestid"] == "7"
    waits = None if error.retry_after is None else str(error.retry_after)
    assert answer.headers.get("retry-after") == waits


def test_a_fault_that_nobody_named_is_an_internal_error() -> None:
    """As the door hands it on (app.api.problems.fault), which says nothing of the fault itself."""
    answer = refuse(_request("ListFaces"), RollcallError("Something went wrong."))
    assert (json.loads(bytes(answer.body))["__type"], answer.status_code) == (
        "InternalServerError",
        500,
    )


def test_a_page_of_another_site_is_refused_where_no_keys_are_asked_for(
    open_service: Service, signing: Any
) -> None:
    request = signed(open_service.url, signing("read"), "ListCollections")
    answer = send(request, headers={"Origin": "https://elsewhere.example"})
    assert name_of(answer) == "AccessDeniedException"


def _request(operation: str) -> Request:
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(b"x-amz-target", f"RekognitionService.{operation}".encode())],
            "rollcall.request_id": "7",
        }
    )
