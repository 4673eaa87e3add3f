"""Labelled pictures of faces, whatever form they come in."""

from pathlib import Path

from models.training.data.folder import ImageFolder
from models.training.data.records import Records
from models.training.data.shards import Shards
from models.training.data.source import Source
from models.training.errors import TrainingDataError

FORMS = (
    "Give folders with a folder a person, one .rec with its .idx, or WebDataset shards "
    "(x-{000..009}.tar)."
)


def open_source(*paths: str | Path) -> Source:
    """The data at ``paths``: folders, one RecordIO file (or the folder of one), or tar shards.

    Raises:
        FileNotFoundError: a path does not exist.
        TrainingDataError: the data is of no known form, of several, or broken.
    """
    if not paths:
        raise TrainingDataError(f"No data was given. {FORMS}")
    forms = {_form(Path(path)) for path in paths}
    if len(forms) > 1:
        raise TrainingDataError(f"{', '.join(map(str, paths))} are of several forms. {FORMS}")
    [form] = forms
    if form is Records:
        if len(paths) > 1:
            raise TrainingDataError(f"{len(paths)} .rec files were given. {FORMS}")
        return Records(_record_file(Path(paths[0])))
    if form is Shards:
        return Shards(*(_shard_pattern(Path(path)) for path in paths))
    return ImageFolder(*map(Path, paths))


def _form(path: Path) -> type[ImageFolder | Records | Shards]:
    if path.is_dir():
        if any(path.glob("*.rec")):
            return Records
        return Shards if any(path.glob("*.tar")) else ImageFolder
    if path.suffix == ".rec":
        return Records
    if ".tar" in path.suffixes or path.suffix == ".tgz":
        return Shards
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}.")
    if path.suffix == ".bin":
        raise TrainingDataError(
            f"{path} is a verification set: it has pairs and no labels. Give it to evaluate --bin."
        )
    raise TrainingDataError(f"{path} is no data known here. {FORMS}")


def _record_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.rec"))
    if len(found) > 1:
        raise TrainingDataError(f"{path} has {len(found)} .rec files: name the one that is meant.")
    return found[0]


def _shard_pattern(path: Path) -> Path:
    return path / "*.tar" if path.is_dir() else path
