"""Keys, scopes, collections and limits hold through the door for Rekognition as elsewhere: every
operation of its table × every kind of key."""

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from app.doors.rekognition.table import OPERATIONS
from app.types import SCOPES
from tests.doors.rekognition.speaking import MODEL, Signing, client, name_of, send, signed
from tests.service import ROOT, Service

Make = Callable[..., Signing]
SEVERAL = ("identify", "verify", "enroll", "read", "delete")


def samples(image: bytes) -> dict[str, dict[str, Any]]:
    """A whole request for each operation, about a place that is filled in."""
    photo = {"Bytes": base64.b64encode(image).decode()}
    here = {"CollectionId": "{collection}"}
    user = {**here, "UserId": "{user}"}
    return {
        "CreateCollection": {"CollectionId": f"new-{uuid4().hex[:8]}"},
        "DescribeCollection": here,
        "ListCollections": {},
        "DeleteCollection": here,
        "DetectFaces": {"Image": photo},
        "CompareFaces": {"SourceImage": photo, "TargetImage": photo},
        "IndexFaces": {**here, "Image": photo},
        "ListFaces": here,
        "DeleteFaces": {**here, "FaceIds": ["{face}"]},
        "SearchFaces": {**here, "FaceId": "{face}"},
        "SearchFacesByImage": {**here, "Image": photo},
        "CreateUser": {**here, "UserId": "new"},
        "DeleteUser": user,
        "ListUsers": here,
        "AssociateFaces": {**user, "FaceIds": ["{face}"]},
        "DisassociateFaces": {**user, "FaceIds": ["{face}"]},
        "SearchUsers": user,
        "SearchUsersByImage": {**here, "Image": photo},
    }


def filled(sample: Any, collection: str, face: str = "", user: str = "somebody") -> bytes:
    text = json.dumps(sample).replace("{collection}", collection).replace("{user}", user)
    return text.replace("{face}", face or str(uuid4())).encode()


def test_every_operation_has_a_sample_and_is_one_of_amazons(hanks: bytes) -> None:
    assert set(samples(hanks)) == set(OPERATIONS)
    assert set(OPERATIONS) <= set(MODEL.operation_names)


def test_every_operation_takes_the_members_that_amazons_takes(hanks: bytes) -> None:
    for name, operation in OPERATIONS.items():
        shape = MODEL.operation_model(name).input_shape
        ours = {field.alias: field.is_required() for field in operation.ask.model_fields.values()}
        required = {member: member in shape.required_members for member in shape.members}
        assert ours == required, name
        images = {m for m, inner in shape.members.items() if inner.name == "Image"}
        assert operation.images == len(images), name


def test_without_a_good_key_no_operation_does_anything(
    open_service: Service, admin: httpx.Client, signing: Make, hanks: bytes
) -> None:
    revoked = signing(*SEVERAL)
    assert admin.delete(f"/keys/{revoked['aws_access_key_id']}").status_code == 200
    good, other = signing(*SEVERAL), signing(*SEVERAL)
    mixed = {**good, "aws_secret_access_key": other["aws_secret_access_key"]}
    for name, sample in samples(hanks).items():
        body = filled(sample, "anything")
        for pair, refused in (
            (revoked, "UnrecognizedClientException"),
            ({**good, "aws_access_key_id": "0" * 16}, "UnrecognizedClientException"),
            (mixed, "InvalidSignatureException"),
        ):
            answer = send(signed(open_service.url, pair, name, body))
            assert name_of(answer) == refused, name
        # Who is unknown is not waited for: nothing of this body is what it says.
        unsigned = send(
            signed(open_service.url, good, name, body),
            headers={"Authorization": None},
            content=b"?",
        )
        assert name_of(unsigned) == "MissingAuthenticationTokenException", name


def test_every_operation_takes_its_scope_and_no_other(
    open_service: Service, signing: Make, hanks: bytes
) -> None:
    pairs = {scope: signing(scope) for scope in SCOPES}
    for name, sample in samples(hanks).items():
        for scope, pair in pairs.items():
            if scope == OPERATIONS[name].scope:
                answer = send(signed(open_service.url, pair, name, filled(sample, "nowhere")))
                refused = None if answer.status_code == 200 else name_of(answer)
                assert refused in (None, "ResourceNotFoundException"), (name, answer.text)
            else:  # refused before the body is looked at
                answer = send(signed(open_service.url, pair, name, b"not read"))
                assert name_of(answer) == "AccessDeniedException", (name, scope)
                assert OPERATIONS[name].scope in answer.json()["Message"]


def test_a_foreign_collection_looks_like_one_that_does_not_exist(
    open_service: Service, signing: Make, boto: BaseClient, people: str, hanks: bytes
) -> None:
    indexed = boto.index_faces(CollectionId=people, Image={"Bytes": hanks})
    face = indexed["FaceRecords"][0]["Face"]["FaceId"]
    boto.create_user(CollectionId=people, UserId="somebody")
    stranger = signing(*SEVERAL, collections=["mine"])

    def told(name: str, sample: Any, collection: str, face: str) -> Any:
        body = filled(sample, collection, face)
        answer = send(signed(open_service.url, stranger, name, body))
        text = answer.text.replace(collection, "…").replace(face, "…")
        return answer.status_code, re.sub(r'"\w+Version":"\w+"', "", text)

    seen = 0
    for name, sample in samples(hanks).items():
        if "{collection}" in json.dumps(sample):
            there = told(name, sample, people, face)
            assert there == told(name, sample, f"c-{uuid4().hex[:12]}", str(uuid4())), name
            assert "ResourceNotFoundException" in there[1]
            seen += 1
    assert seen == 14
    # Nor is it listed, made, or harmed.
    asking = client(open_service.url, stranger)
    assert asking.list_collections()["CollectionIds"] == []
    for name in (people, f"c-{uuid4().hex[:12]}"):
        with pytest.raises(asking.exceptions.AccessDeniedException):
            asking.create_collection(CollectionId=name)
    assert boto.describe_collection(CollectionId=people)["FaceCount"] == 1
    assert asking.create_collection(CollectionId="mine")["StatusCode"] == 200
    assert asking.list_collections()["CollectionIds"] == ["mine"]


def test_a_face_of_another_collection_is_not_found_through_ones_own(
    boto: BaseClient, people: str, collection: str, hanks: bytes
) -> None:
    other = f"{collection}-b"
    boto.create_collection(CollectionId=other)
    boto.create_user(CollectionId=other, UserId="somebody")
    indexed = boto.index_faces(CollectionId=people, Image={"Bytes": hanks})
    face = indexed["FaceRecords"][0]["Face"]["FaceId"]
    assert boto.list_faces(CollectionId=other, FaceIds=[face])["Faces"] == []
    for search in (boto.search_faces, boto.search_users):
        with pytest.raises(boto.exceptions.InvalidParameterException):
            search(CollectionId=other, FaceId=face)
    moved = boto.associate_faces(CollectionId=other, UserId="somebody", FaceIds=[face])
    assert moved["UnsuccessfulFaceAssociations"][0]["Reasons"] == ["FACE_NOT_FOUND"]
    gone = boto.delete_faces(CollectionId=other, FaceIds=[face])
    assert gone["UnsuccessfulFaceDeletions"] == [{"FaceId": face, "Reasons": ["FACE_NOT_FOUND"]}]
    assert boto.describe_collection(CollectionId=people)["FaceCount"] == 1


def test_a_key_has_its_rate_here_too(open_service: Service, signing: Make) -> None:
    asking = client(open_service.url, signing("read", requests_a_minute=3))
    for _ in range(3):
        asking.list_collections()
    with pytest.raises(asking.exceptions.ProvisionedThroughputExceededException) as refused:
        asking.list_collections()
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert 1 <= int(headers["retry-after"]) <= 20


def test_a_key_has_its_requests_under_way_here_too(
    open_service: Service, signing: Make, group: bytes
) -> None:
    asking = client(open_service.url, signing("identify", concurrency=1))

    def detect(number: int) -> str:
        try:
            asking.detect_faces(Image={"Bytes": group + bytes(number)})
            return "answered"
        except asking.exceptions.ProvisionedThroughputExceededException:
            return "limited"

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(detect, range(12))) == {"answered", "limited"}
    assert detect(12) == "answered"


def test_every_deed_is_recorded_with_its_key(
    open_service: Service, admin: httpx.Client, signing: Make, collection: str, hanks: bytes
) -> None:
    from tests.api.test_audit import newest

    pair = signing(*SEVERAL)
    asking = client(open_service.url, pair)
    photo = {"Image": {"Bytes": hanks}}
    here = {"CollectionId": collection}

    def done(action: str, answer: Any) -> Any:
        record = newest(admin, answer["ResponseMetadata"]["RequestId"])
        assert (record["action"], record["key"]) == (action, pair["aws_access_key_id"])
        return record

    done("collection.make", asking.create_collection(**here))
    indexed = asking.index_faces(**here, **photo)
    face = indexed["FaceRecords"][0]["Face"]["FaceId"]
    assert done("face.index", indexed)["face_ids"] == [face]
    done("identify", asking.search_faces_by_image(**here, **photo))
    done("identify", asking.search_faces(**here, FaceId=face))
    done("detect", asking.detect_faces(**photo))
    done(
        "compare", asking.compare_faces(SourceImage={"Bytes": hanks}, TargetImage={"Bytes": hanks})
    )
    done("face.list", asking.list_faces(**here))
    done("person.add", asking.create_user(**here, UserId="tom"))
    moved = asking.associate_faces(**here, UserId="tom", FaceIds=[face])
    assert done("face.move", moved)["face_ids"] == [face]
    done("identify", asking.search_users(**here, UserId="tom"))
    done("person.list", asking.list_users(**here))
    done("face.move", asking.disassociate_faces(**here, UserId="tom", FaceIds=[face]))
    done("person.dissolve", asking.delete_user(**here, UserId="tom"))
    assert done("face.erase", asking.delete_faces(**here, FaceIds=[face]))["face_ids"] == [face]
    done("collection.erase", asking.delete_collection(**here))
    with pytest.raises(ClientError) as refused:
        client(open_service.url, signing("read")).create_collection(**here)
    request_id = refused.value.response["ResponseMetadata"]["RequestId"]
    assert newest(admin, request_id)["action"] == "refused"


def test_the_log_names_the_key_and_nothing_that_was_sent(
    open_service: Service, signing: Make, collection: str, hanks: bytes
) -> None:
    pair = signing(*SEVERAL)
    asking = client(open_service.url, pair)
    asking.create_collection(CollectionId=collection)
    canaries = {"ExternalImageId": "canary-photo.jpg", "UserId": "canary-user"}
    asking.index_faces(
        CollectionId=collection, Image={"Bytes": hanks}, ExternalImageId="canary-photo.jpg"
    )
    asking.create_user(CollectionId=collection, UserId="canary-user")
    log = open_service.output()
    assert f'"key": "{pair["aws_access_key_id"]}"' in log
    assert not any(word in log for word in (*canaries.values(), pair["aws_secret_access_key"]))


def test_the_door_is_shut_until_a_setting_opens_it(client: httpx.Client) -> None:
    headers = {"X-Amz-Target": "RekognitionService.ListCollections"}
    answer = client.post("/", content=b"{}", headers=headers)
    assert answer.status_code in (404, 405)  # 405 where the console is at GET /
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_open_door_takes_nothing_but_its_own(open_service: Service, admin: httpx.Client) -> None:
    answer = httpx.post(f"{open_service.url}/", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "/" not in admin.get("/openapi.json").json()["paths"]


def test_the_documentation_lists_what_is_offered() -> None:
    page = (ROOT / "docs" / "doors.md").read_text()
    listed = set(re.findall(r"^\| `([A-Z]\w+)` \| `[a-z]+` \|", page, re.MULTILINE))
    assert set(OPERATIONS) == listed
    for name, operation in OPERATIONS.items():
        assert re.search(rf"^\| `{name}` \| `{operation.scope}` \|", page, re.MULTILINE), name
