"""How faces and users of Rekognition lie on ours: persons, faces, references, similarities."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from botocore.client import BaseClient

from app.doors.similarity import Scale, scale_of
from app.vision.calibration import read_calibration
from app.vision.pack import read_pack
from tests.doors.rekognition.speaking import MODEL, Signing, send, signed, strangers
from tests.service import Service


@pytest.fixture(scope="module")
def native(open_service: Service) -> Iterator[httpx.Client]:
    """The same service by its own API, which asks for no key here."""
    with open_service.client() as client:
        yield client


@pytest.fixture(scope="module")
def scale(open_service: Service) -> Scale:
    pack = Path(open_service.settings["ROLLCALL_PACK"])
    return scale_of(read_calibration(pack / "calibration.json", read_pack(pack).model), 0.4)


def index(boto: BaseClient, people: str, image: bytes, **given: Any) -> list[str]:
    """The ids of the faces that came to be, the largest first."""
    answer = boto.index_faces(CollectionId=people, Image={"Bytes": image}, **given)
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def whole(native: httpx.Client, people: str) -> bool:
    """Whether the index is what PostgreSQL holds."""
    return bool(native.get(f"/collections/{people}/audit").json()["equal"])


def users(boto: BaseClient, people: str) -> dict[str, str]:
    found = boto.list_users(CollectionId=people)["Users"]
    return {each["UserId"]: each["UserStatus"] for each in found}


# -- the oracle -------------------------------------------------------------------------------


def test_the_oracle_sees_what_amazons_model_does_not_have() -> None:
    shape = MODEL.operation_model("ListFaces").output_shape
    assert strangers(shape, {"Faces": [{"FaceId": "a", "Confidence": 1.5}]}) == []
    for wrong in (
        {"faces": []},
        {"Faces": {}},
        {"Faces": [{"Name": "x"}]},
        {"Faces": [{"Confidence": "high"}]},
        {"Faces": [{"Confidence": 101.0}]},
        {"Faces": [{"BoundingBox": {"Width": None}}]},
    ):
        assert strangers(shape, wrong) != [], wrong


# -- pictures ---------------------------------------------------------------------------------


def test_a_face_is_where_our_own_api_sees_it(
    boto: BaseClient, native: httpx.Client, astronaut: bytes
) -> None:
    [seen] = boto.detect_faces(Image={"Bytes": astronaut})["FaceDetails"]
    [face] = native.post("/detect", files={"image": astronaut}).json()["faces"]
    box, ours = seen["BoundingBox"], face["bounding_box"]
    side = 512  # of the picture
    told = [box[name] * side for name in ("Left", "Top", "Width", "Height")]
    assert told == pytest.approx([ours[name] for name in ("x", "y", "width", "height")], abs=0.1)
    marks = {mark["Type"]: (mark["X"] * side, mark["Y"] * side) for mark in seen["Landmarks"]}
    assert list(marks) == ["eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"]
    assert marks["eyeLeft"][0] < marks["eyeRight"][0]
    assert marks["nose"] == pytest.approx(face["landmarks"]["nose"], abs=0.1)
    assert seen["Confidence"] == pytest.approx(100 * face["detection_score"], abs=0.01)
    quality = face["quality"]
    assert seen["Pose"]["Yaw"] == pytest.approx(quality["yaw"], abs=0.1)
    assert seen["Quality"]["Brightness"] == pytest.approx(100 * quality["brightness"], abs=0.1)
    assert 50 < seen["Quality"]["Sharpness"] < 100
    assert "AgeRange" not in seen and "OrientationCorrection" not in seen


def test_the_largest_face_is_compared_with_every_face(boto: BaseClient, group: bytes) -> None:
    photo = {"Bytes": group}
    compared = boto.compare_faces(SourceImage=photo, TargetImage=photo, SimilarityThreshold=90)
    [match] = compared["FaceMatches"]
    assert match["Similarity"] == pytest.approx(100)
    assert match["Face"]["BoundingBox"] == compared["SourceImageFace"]["BoundingBox"]
    assert len(compared["UnmatchedFaces"]) == 5
    everybody = boto.compare_faces(SourceImage=photo, TargetImage=photo, SimilarityThreshold=0)
    similarities = [each["Similarity"] for each in everybody["FaceMatches"]]
    assert len(similarities) == 6 and similarities == sorted(similarities, reverse=True)
    assert everybody["UnmatchedFaces"] == []
    with pytest.raises(boto.exceptions.InvalidParameterException):  # none of them is that good
        boto.compare_faces(SourceImage=photo, TargetImage=photo, QualityFilter="HIGH")


# -- indexing ---------------------------------------------------------------------------------


def test_faces_that_are_not_indexed_say_why(boto: BaseClient, people: str, group: bytes) -> None:
    photo = {"Bytes": group}
    some = boto.index_faces(CollectionId=people, Image=photo, MaxFaces=2)
    assert len(some["FaceRecords"]) == 2
    assert [each["Reasons"] for each in some["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]] * 4
    areas = [
        each["FaceDetail"]["BoundingBox"]["Width"] * each["FaceDetail"]["BoundingBox"]["Height"]
        for each in [*some["FaceRecords"], *some["UnindexedFaces"]]
    ]
    assert areas == sorted(areas, reverse=True)
    strict = boto.index_faces(CollectionId=people, Image=photo, QualityFilter="HIGH")
    reasons = {reason for each in strict["UnindexedFaces"] for reason in each["Reasons"]}
    assert reasons and "EXCEEDS_MAX_FACES" not in reasons
    # Each face stands for somebody, and all of a picture have one ImageId.
    assert len({record["Face"]["ImageId"] for record in some["FaceRecords"]}) == 1
    stored = boto.describe_collection(CollectionId=people)["FaceCount"]
    assert stored == 2 + len(strict["FaceRecords"])


def test_an_indexed_face_is_a_person_of_our_own_api(
    boto: BaseClient, native: httpx.Client, people: str, hanks: bytes
) -> None:
    [face] = index(boto, people, hanks, ExternalImageId="hanks.jpg")
    found = native.post("/identify", files={"image": hanks}, data={"collection": people}).json()
    person = found["faces"][0]["candidates"][0]["person"]
    assert person["external_id"] is None and person["name"] is None
    [kept] = native.get(f"/persons/{person['id']}/faces").json()["faces"]
    assert (kept["id"], kept["reference"]) == (face, "hanks.jpg")
    boto.create_user(CollectionId=people, UserId="tom")
    boto.associate_faces(CollectionId=people, UserId="tom", FaceIds=[face])
    [only] = native.get(f"/collections/{people}/persons").json()["persons"]
    assert (only["external_id"], only["face_count"]) == ("tom", 1)


def test_a_person_of_our_own_api_with_an_external_id_is_a_user(
    boto: BaseClient, native: httpx.Client, people: str, hanks: bytes, astronaut: bytes
) -> None:
    for image, external_id in ((hanks, "tom"), (astronaut, None)):
        data = {"collection": people, "references": "photo"}
        data |= {} if external_id is None else {"external_id": external_id}
        assert native.post("/enroll", files={"images": image}, data=data).status_code == 201
    assert users(boto, people) == {"tom": "ACTIVE"}
    faces = boto.list_faces(CollectionId=people)["Faces"]
    assert [face.get("UserId") for face in faces] == ["tom", None]
    assert all(face["ExternalImageId"] == "photo" and "BoundingBox" in face for face in faces)
    described = boto.describe_collection(CollectionId=people)
    assert (described["FaceCount"], described["UserCount"]) == (2, 1)
    assert isinstance(described["CreationTimestamp"], datetime)


def test_a_call_that_is_tried_again_indexes_once(
    open_service: Service, signing: Any, boto: BaseClient, people: str, group: bytes
) -> None:
    """boto3 tries again by itself when an answer does not come, and keeps the id of the call."""
    pair: Signing = signing("enroll")
    ask = {"CollectionId": people, "Image": {"Bytes": base64.b64encode(group).decode()}}
    call = str(uuid4())
    answers = []
    for attempt in (1, 2):
        request = signed(open_service.url, pair, "IndexFaces", ask, minutes=attempt / 60)
        names = {"amz-sdk-invocation-id": call, "amz-sdk-request": f"attempt={attempt}"}
        answers.append(send(request, headers=names).json())
    assert answers[0] == answers[1]
    assert len(answers[0]["FaceRecords"]) == 6
    assert boto.describe_collection(CollectionId=people)["FaceCount"] == 6
    # What was erased since is not told again.
    gone = answers[0]["FaceRecords"][0]["Face"]["FaceId"]
    boto.delete_faces(CollectionId=people, FaceIds=[gone])
    request = signed(open_service.url, pair, "IndexFaces", ask, minutes=3 / 60)
    again = send(request, headers={"amz-sdk-invocation-id": call, "amz-sdk-request": "attempt=3"})
    assert gone not in again.text and len(again.json()["FaceRecords"]) == 5


def test_a_picture_without_a_good_face_gets_the_same_answer_again(
    open_service: Service, signing: Any, people: str, faceless: bytes
) -> None:
    pair: Signing = signing("enroll")
    ask = {"CollectionId": people, "Image": {"Bytes": base64.b64encode(faceless).decode()}}
    call = {"amz-sdk-invocation-id": str(uuid4())}
    for attempt in (1, 2):
        request = signed(open_service.url, pair, "IndexFaces", ask, minutes=attempt / 60)
        answer = send(request, headers={**call, "amz-sdk-request": f"attempt={attempt}"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["FaceRecords"] == answer.json()["UnindexedFaces"] == []


# -- searching --------------------------------------------------------------------------------


@pytest.fixture
def crowd(boto: BaseClient, people: str, group: bytes, hanks: bytes, astronaut: bytes) -> list[str]:
    """Eight faces and one again, two of them of a user each, three of a third."""
    faces = [*index(boto, people, group), *index(boto, people, hanks)]
    faces += [*index(boto, people, astronaut), *index(boto, people, hanks)]
    for user, its in (
        ("a", faces[0:1]),
        ("b", faces[1:2]),
        ("tom", [faces[2], faces[6], faces[8]]),
    ):
        boto.create_user(CollectionId=people, UserId=user)
        done = boto.associate_faces(
            CollectionId=people, UserId=user, FaceIds=its, UserMatchThreshold=0
        )
        assert len(done["AssociatedFaces"]) == len(its)
    return faces


def cosines(
    native: httpx.Client, probe: bytes, group: bytes, hanks: bytes, astronaut: bytes
) -> list[float]:
    """Of the largest face of `probe` with those of `crowd`: by the embeddings of our own API."""

    def embeddings(image: bytes) -> list[list[float]]:
        faces = native.post("/embeddings", files={"image": image}).json()["faces"]
        return [face["embedding"] for face in faces]

    known = np.array(
        [*embeddings(group), *embeddings(hanks), *embeddings(astronaut), *embeddings(hanks)]
    )
    return list(known @ np.array(embeddings(probe)[0]))


def test_a_search_ranks_every_face_as_its_cosine_does(
    boto: BaseClient,
    native: httpx.Client,
    people: str,
    crowd: list[str],
    scale: Scale,
    group: bytes,
    hanks: bytes,
    astronaut: bytes,
) -> None:
    for probe in (group, hanks, astronaut):
        expected = cosines(native, probe, group, hanks, astronaut)
        order = sorted(range(9), key=lambda at: -expected[at])
        ranked = [expected[at] for at in order]
        for most, threshold in ((4096, 0), (3, 0), (80, 80), (80, 99)):
            found = boto.search_faces_by_image(
                CollectionId=people,
                Image={"Bytes": probe},
                MaxFaces=most,
                FaceMatchThreshold=threshold,
            )["FaceMatches"]
            passed = [each for each in ranked if scale.percent(each) >= threshold][:most]
            told = [each["Similarity"] for each in found]
            assert told == pytest.approx([scale.percent(each) for each in passed], abs=0.03)
            assert all(each >= threshold for each in told)
            near = {face: expected[crowd.index(face)] for face in crowd}
            assert [near[each["Face"]["FaceId"]] for each in found] == pytest.approx(
                passed, abs=1e-5
            )


def test_an_enrolled_face_finds_the_others(boto: BaseClient, people: str, crowd: list[str]) -> None:
    hanks, again = crowd[6], crowd[8]
    found = boto.search_faces(CollectionId=people, FaceId=hanks, FaceMatchThreshold=99)
    assert found["SearchedFaceId"] == hanks
    assert [each["Face"]["FaceId"] for each in found["FaceMatches"]] == [again]
    everybody = boto.search_faces(CollectionId=people, FaceId=hanks, FaceMatchThreshold=0)
    assert {each["Face"]["FaceId"] for each in everybody["FaceMatches"]} == set(crowd) - {hanks}
    few = boto.search_faces(CollectionId=people, FaceId=hanks, FaceMatchThreshold=0, MaxFaces=2)
    assert len(few["FaceMatches"]) == 2
    assert few["FaceMatches"][0]["Face"]["FaceId"] == again


def test_users_are_found_by_their_best_face(
    boto: BaseClient, people: str, crowd: list[str], hanks: bytes
) -> None:
    def found(answer: Any) -> list[str]:
        similarities = [each["Similarity"] for each in answer["UserMatches"]]
        assert similarities == sorted(similarities, reverse=True)
        return [each["User"]["UserId"] for each in answer["UserMatches"]]

    here = {"CollectionId": people}
    by_image = boto.search_users_by_image(**here, Image={"Bytes": hanks}, UserMatchThreshold=99)
    assert found(by_image) == ["tom"]
    assert by_image["UnsearchedFaces"] == []
    everybody = boto.search_users_by_image(**here, Image={"Bytes": hanks}, UserMatchThreshold=0)
    assert found(everybody)[0] == "tom" and set(found(everybody)) == {"a", "b", "tom"}
    # Most of the best faces are nobody's, and users are found behind them.
    one = boto.search_users(**here, FaceId=crowd[7], UserMatchThreshold=0, MaxUsers=1)
    assert len(found(one)) == 1 and one["SearchedFace"] == {"FaceId": crowd[7]}
    own = boto.search_users(**here, FaceId=crowd[6], UserMatchThreshold=99)
    assert found(own) == ["tom"]
    others = boto.search_users(**here, UserId="tom", UserMatchThreshold=0)
    assert set(found(others)) == {"a", "b"} and others["SearchedUser"] == {"UserId": "tom"}
    boto.create_user(**here, UserId="empty")
    assert found(boto.search_users(**here, UserId="empty", UserMatchThreshold=0)) == []


def test_faces_that_were_not_searched_for_are_named(
    boto: BaseClient, people: str, crowd: list[str], group: bytes
) -> None:
    found = boto.search_users_by_image(CollectionId=people, Image={"Bytes": group})
    assert [each["User"]["UserId"] for each in found["UserMatches"]][:1] == ["a"]
    assert [each["Reasons"] for each in found["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]] * 5


# -- users ------------------------------------------------------------------------------------


def test_a_face_goes_to_a_user_whom_it_is_like_and_to_one_user_only(
    boto: BaseClient, native: httpx.Client, people: str, hanks: bytes, astronaut: bytes
) -> None:
    [one], [again], [other] = (index(boto, people, each) for each in (hanks, hanks, astronaut))
    here = {"CollectionId": people}
    for user in ("tom", "eileen"):
        boto.create_user(**here, UserId=user)
    assert users(boto, people) == {"tom": "CREATED", "eileen": "CREATED"}
    unknown = str(uuid4())
    done = boto.associate_faces(**here, UserId="tom", FaceIds=[one, other, again, unknown, one])
    assert [each["FaceId"] for each in done["AssociatedFaces"]] == [one, again]
    [unlike, missing] = done["UnsuccessfulFaceAssociations"]
    assert (unlike["FaceId"], unlike["Reasons"]) == (other, ["LOW_MATCH_CONFIDENCE"])
    assert 0 < unlike["Confidence"] < 75
    assert (missing["FaceId"], missing["Reasons"]) == (unknown, ["FACE_NOT_FOUND"])
    assert done["UserStatus"] == "ACTIVE" and whole(native, people)
    # Again is no error; what is one's is not another's.
    assert len(boto.associate_faces(**here, UserId="tom", FaceIds=[one])["AssociatedFaces"]) == 1
    for ask, member in (
        (boto.associate_faces, "UnsuccessfulFaceAssociations"),
        (boto.disassociate_faces, "UnsuccessfulFaceDisassociations"),
    ):
        [refused] = ask(**here, UserId="eileen", FaceIds=[one])[member]
        assert refused["Reasons"] == ["ASSOCIATED_TO_A_DIFFERENT_USER"]
        assert refused["UserId"] == "tom"
    kept = boto.delete_faces(**here, FaceIds=[one])["UnsuccessfulFaceDeletions"]
    assert kept == [{"FaceId": one, "UserId": "tom", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}]
    mine = boto.list_faces(**here, UserId="tom")["Faces"]
    assert [face["FaceId"] for face in mine] == [one, again]

    done = boto.disassociate_faces(**here, UserId="tom", FaceIds=[one, other])
    assert [each["FaceId"] for each in done["DisassociatedFaces"]] == [one]
    assert done["UnsuccessfulFaceDisassociations"][0]["Reasons"] == ["FACE_NOT_FOUND"]
    assert done["UserStatus"] == "ACTIVE"
    assert [face["FaceId"] for face in boto.list_faces(**here, UserId="tom")["Faces"]] == [again]
    # A user goes, and the faces stay.
    boto.delete_user(**here, UserId="tom")
    assert users(boto, people) == {"eileen": "CREATED"} and whole(native, people)
    left = boto.list_faces(**here)["Faces"]
    assert {face["FaceId"] for face in left} == {one, again, other}
    assert not any("UserId" in face for face in left)
    found = boto.search_faces_by_image(**here, Image={"Bytes": hanks}, FaceMatchThreshold=99)
    assert {each["Face"]["FaceId"] for each in found["FaceMatches"]} == {one, again}


def test_nobody_is_left_behind_without_a_face_and_a_name(
    boto: BaseClient, native: httpx.Client, people: str, hanks: bytes, astronaut: bytes
) -> None:
    def persons() -> list[Any]:
        found: list[Any] = native.get(f"/collections/{people}/persons").json()["persons"]
        return found

    [one], [other] = index(boto, people, hanks), index(boto, people, astronaut)
    data = {"collection": people, "name": "Eileen", "on_duplicate": "allow"}
    named = native.post("/enroll", files={"images": astronaut}, data=data).json()
    boto.create_user(CollectionId=people, UserId="tom")
    boto.associate_faces(CollectionId=people, UserId="tom", FaceIds=[one])
    boto.delete_faces(CollectionId=people, FaceIds=[other, named["faces"][0]["id"]])
    assert whole(native, people)
    left = {(one["external_id"], one["name"], one["face_count"]) for one in persons()}
    assert left == {("tom", None, 1), (None, "Eileen", 0)}


def test_who_may_be_kept_until_then_may_not_be_kept_longer_by_being_taken_apart(
    boto: BaseClient, native: httpx.Client, people: str, hanks: bytes
) -> None:
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    data = {"collection": people, "external_id": "tom", "consent": "form 7", "expires_at": until}
    face = native.post("/enroll", files={"images": hanks}, data=data).json()["faces"][0]["id"]
    boto.delete_user(CollectionId=people, UserId="tom")
    [person] = native.get(f"/collections/{people}/persons").json()["persons"]
    assert person["external_id"] is None
    assert person["consent"] == "form 7" and person["expires_at"] is not None
    [kept] = native.get(f"/persons/{person['id']}/faces").json()["faces"]
    assert kept["id"] == face


# -- pages ------------------------------------------------------------------------------------


def test_lists_come_in_pages(
    boto: BaseClient, people: str, crowd: list[str], collection: str
) -> None:
    def all_of(operation: str, member: str, size: int, **given: Any) -> list[Any]:
        pages = boto.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **given)
        found = [page[member] for page in pages]
        assert all(len(page) == size for page in found[:-1])
        return [each for page in found for each in page]

    faces = all_of("list_faces", "Faces", 4, CollectionId=people)
    assert [face["FaceId"] for face in faces] == crowd
    few = all_of("list_faces", "Faces", 2, CollectionId=people, FaceIds=crowd[3:8])
    assert [face["FaceId"] for face in few] == crowd[3:8]
    mine = all_of("list_faces", "Faces", 2, CollectionId=people, UserId="tom")
    assert len(mine) == 3
    names = all_of("list_users", "Users", 2, CollectionId=people)
    assert [each["UserId"] for each in names] == ["a", "b", "tom"]
    for number in range(3):
        boto.create_collection(CollectionId=f"{collection}-{number}")
    listed = all_of("list_collections", "CollectionIds", 2)
    assert listed == sorted(listed) and len(listed) == len(set(listed))
    assert {collection, f"{collection}-2"} <= set(listed)
    page = boto.list_collections(MaxResults=2)
    assert len(page["FaceModelVersions"]) == 2 and page["NextToken"]
    assert json.dumps(page["CollectionIds"]) not in page["NextToken"]


# -- out and in -------------------------------------------------------------------------------


def test_faces_that_are_taken_out_and_in_again_answer_the_same(
    boto: BaseClient, native: httpx.Client, people: str, group: bytes
) -> None:
    index(boto, people, group, ExternalImageId="group")
    before = boto.list_faces(CollectionId=people)["Faces"]
    lines = [json.loads(line) for line in native.get(f"/collections/{people}/export").iter_lines()]
    persons = [line["person"] for line in lines if "person" in line]
    faces = [line["face"] for line in lines if "face" in line]
    boto.delete_collection(CollectionId=people)
    body = {"model": lines[0]["collection"]["model"], "persons": persons, "faces": faces}
    answer = native.post(f"/collections/{people}/import", json=body)
    assert answer.status_code in (200, 201), answer.text
    assert boto.list_faces(CollectionId=people)["Faces"] == before
