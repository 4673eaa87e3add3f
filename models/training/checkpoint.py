"""What a training leaves on disk: enough to go on from, and enough to make a pack of."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor

FORMAT: Final = 2
NAME: Final = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """``training`` tells recipe, data and progress; ``backbone_state`` is the averaged network.

    ``resume`` holds what only a continued training needs: weights as last stepped, head,
    optimizer, average, random states, step.
    """

    backbone_name: str
    dimension: int
    backbone_state: dict[str, Tensor]
    training: dict[str, Any]
    resume: dict[str, Any]


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``checkpoint.pt``, whole or not at all."""
    part = folder / (NAME + ".part")
    torch.save({"format": FORMAT, **vars(checkpoint)}, part)
    part.replace(folder / NAME)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint: tensors and plain values only, whatever the file would like to run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint of this format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise ValueError(f"{path} is no checkpoint, or a damaged one") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of format {FORMAT}: train anew")
    return Checkpoint(**content)
