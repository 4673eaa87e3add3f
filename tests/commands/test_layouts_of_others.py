"""Folders as deepface and face_recognition have them are taken by `rollcall enroll` as they are."""

from pathlib import Path

import pytest

from app.commands.photo_files import PlanWrong, plan_of_folder


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_a_database_of_deepface_without_what_it_computed(tmp_path: Path) -> None:
    """A folder a person, and beside them the representations that `DeepFace.find` leaves."""
    plan = plan_of_folder(
        lay(
            tmp_path,
            "Alice/1.jpg",
            "Alice/2.PNG",
            "Bob/at work/img.jpeg",
            "ds_model_vggface_detector_opencv_aligned_normalization_base_expand_0.pkl",
            "representations_vgg_face.pkl",
            "Bob/representations_arcface.pkl",
        )
    )
    assert [(photo.person.external_id, photo.reference) for photo in plan.photos] == [
        ("Alice", "Alice/1.jpg"),
        ("Alice", "Alice/2.PNG"),
        ("Bob", "Bob/at work/img.jpeg"),
    ]
    assert sorted(path.name for path in plan.ignored) == [
        "ds_model_vggface_detector_opencv_aligned_normalization_base_expand_0.pkl",
        "representations_arcface.pkl",
        "representations_vgg_face.pkl",
    ]


def test_the_training_folder_of_face_recognitions_knn_example(tmp_path: Path) -> None:
    plan = plan_of_folder(
        lay(tmp_path, "biden/a.jpg", "obama/b.jpeg", "trained_knn_model.clf", "obama/Thumbs.db")
    )
    assert {photo.person.name for photo in plan.photos} == {"biden", "obama"}


def test_the_known_people_of_face_recognitions_command_line(tmp_path: Path) -> None:
    """A file a person, named as the person is: to be said, since a folder a person is usual."""
    folder = lay(tmp_path, "Barack Obama.jpg", "Joe Biden.png", ".DS_Store")
    with pytest.raises(PlanWrong, match="--each-file-a-person"):
        plan_of_folder(folder)
    plan = plan_of_folder(folder, each_file_a_person=True)
    assert {photo.person.name for photo in plan.photos} == {"Barack Obama", "Joe Biden"}
