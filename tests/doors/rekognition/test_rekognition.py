"""Scripts for Amazon Rekognition, with the real boto3, against the running service."""

from botocore.client import BaseClient


def test_a_script_of_a_tutorial_runs_with_another_endpoint_alone(
    boto: BaseClient, collection: str, hanks: bytes, astronaut: bytes, group: bytes
) -> None:
    made = boto.create_collection(CollectionId=collection)
    assert made["StatusCode"] == 200
    assert collection in made["CollectionArn"]
    assert collection in boto.list_collections()["CollectionIds"]

    indexed = boto.index_faces(
        CollectionId=collection,
        Image={"Bytes": hanks},
        ExternalImageId="hanks.jpg",
        MaxFaces=1,
        QualityFilter="AUTO",
        DetectionAttributes=["ALL"],
    )
    print(indexed)
    [record] = indexed["FaceRecords"]
    assert record["Face"]["ExternalImageId"] == "hanks.jpg"
    assert record["FaceDetail"]["BoundingBox"] == record["Face"]["BoundingBox"]
    assert indexed["UnindexedFaces"] == []
    boto.index_faces(CollectionId=collection, Image={"Bytes": astronaut}, ExternalImageId="eileen")
    described = boto.describe_collection(CollectionId=collection)
    assert (described["FaceCount"], described["UserCount"]) == (2, 0)

    found = boto.search_faces_by_image(
        CollectionId=collection, Image={"Bytes": hanks}, FaceMatchThreshold=90, MaxFaces=5
    )
    [match] = found["FaceMatches"]
    assert match["Similarity"] > 99
    assert match["Face"]["FaceId"] == record["Face"]["FaceId"]
    assert match["Face"]["ImageId"] == record["Face"]["ImageId"]

    found = boto.detect_faces(Image={"Bytes": group}, Attributes=["ALL"])
    assert len(found["FaceDetails"]) == 6
    compared = boto.compare_faces(
        SourceImage={"Bytes": hanks}, TargetImage={"Bytes": hanks}, SimilarityThreshold=80
    )
    assert [each["Similarity"] > 99 for each in compared["FaceMatches"]] == [True]
    assert compared["UnmatchedFaces"] == []

    faces = boto.list_faces(CollectionId=collection, MaxResults=10)["Faces"]
    assert [face["ExternalImageId"] for face in faces] == ["hanks.jpg", "eileen"]
    boto.create_user(CollectionId=collection, UserId="tom")
    boto.associate_faces(
        CollectionId=collection, UserId="tom", FaceIds=[faces[0]["FaceId"]], UserMatchThreshold=80
    )
    users = boto.search_users_by_image(CollectionId=collection, Image={"Bytes": hanks})
    assert [each["User"]["UserId"] for each in users["UserMatches"]] == ["tom"]
    boto.disassociate_faces(CollectionId=collection, UserId="tom", FaceIds=[faces[0]["FaceId"]])
    boto.delete_user(CollectionId=collection, UserId="tom")
    deleted = boto.delete_faces(CollectionId=collection, FaceIds=[face["FaceId"] for face in faces])
    assert len(deleted["DeletedFaces"]) == 2
    assert boto.delete_collection(CollectionId=collection)["StatusCode"] == 200
    assert collection not in boto.list_collections()["CollectionIds"]
