"""Which photos of whom lie in a folder, or stand in a table: read before anything is sent."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.commands.bulk import PersonKey, Photo, Unusable, reference_of
from app.commands.exits import Failed

SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")
_LONGEST_ID: Final = 500
# More than any service takes; such a file is not even read.
_MOST_BYTES: Final = 200_000_000


class PlanWrong(Failed):
    """What was named cannot be understood; nothing was sent."""

    def __init__(self, detail: str) -> None:
        super().__init__("plan_wrong", detail)


@dataclass(slots=True)
class Plan:
    """What is to be enrolled: photos, those of one person together; and files left aside."""

    photos: list[Photo] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)

    @property
    def persons(self) -> int:
        return len({photo.person.external_id for photo in self.photos})

    def add(self, person: PersonKey, name: str, path: Path) -> None:
        self.photos.append(Photo(person, reference_of(name), reader(path)))
        self.paths.append(path)

    def missing(self) -> list[Path]:
        return [path for path in self.paths if not path.is_file()]


def reader(path: Path) -> Callable[[], bytes]:
    """Reads a file when asked to. Raises OSError, and Unusable for what is far too large."""

    def load() -> bytes:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MOST_BYTES:
                raise Unusable("image_too_large", f"The file has {size:,} bytes.")
            return file.read()

    return load


def plan_of_folder(root: Path, *, each_file_a_person: bool = False) -> Plan:
    """A folder for each person, named as the person is; photos in it at any depth.

    each_file_a_person: photos lie in `root` itself, each named as its person is. Raises PlanWrong.
    """
    plan = Plan()
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise PlanWrong(f"{root} cannot be read: {error.strerror}.") from None
    loose = [each for each in entries if each.is_file() and _is_photo(each)]
    plan.ignored += [each for each in entries if each.is_file() and not _is_photo(each)]
    if loose and not each_file_a_person:
        raise PlanWrong(
            f"{loose[0].name} lies in {root} itself, so it is not said who is on it. Put the "
            "photos of each person into a folder named as the person is; or, where each file is "
            "one person named as the file is, add --each-file-a-person."
        )
    owners: dict[str, Path] = {}
    for photo in loose:
        plan.add(_person(photo.stem, photo, owners), photo.name, photo)
    for folder in entries:
        if folder.is_dir() and not folder.name.startswith("."):
            files = list(_files(folder))
            photos = [each for each in files if _is_photo(each)]
            plan.ignored += [each for each in files if not _is_photo(each)]
            if photos:
                person = _person(folder.name, folder, owners)
            for photo in photos:
                plan.add(person, photo.relative_to(root).as_posix(), photo)
    if not plan.photos:
        raise PlanWrong(f"There is no photo in {root} ({', '.join(SUFFIXES)}).")
    return plan


def _files(folder: Path) -> Iterator[Path]:
    """Every file below, in a fixed order; links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (Path(place, name) for name in sorted(names))


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _person(name: str, path: Path, owners: dict[str, Path]) -> PersonKey:
    """Who is named by a file or a folder; once. Raises PlanWrong."""
    if not _is_text(name) or len(name) > _LONGEST_ID:
        raise PlanWrong(
            f"{str(path).encode(errors='replace').decode()}: a person's name is valid UTF-8 and "
            f"has at most {_LONGEST_ID} characters."
        )
    if name in owners:
        raise PlanWrong(f"{owners[name]} and {path} would both be '{name}'.")
    owners[name] = path
    return PersonKey(external_id=name, name=name)


def _is_text(name: str) -> bool:
    """Whether a file's name is valid UTF-8; Python keeps other bytes as halves of pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
