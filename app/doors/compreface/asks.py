"""What requests of this door are made of."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import ConfigDict

from app.api.body import Ask, body_of
from app.api.fields import ImageBytes, Name
from app.doors.compreface.access import plugins_in
from app.usecases.likeness import Looking


class Loose(Ask):
    """What this door knows nothing of is passed over, as there."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Picture(Loose):
    file: ImageBytes


class TwoPictures(Loose):
    source_image: ImageBytes
    target_image: ImageBytes


class Subject(Loose):
    subject: Name


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which faces, what is said of each by its plugins, and whether of the service too."""

    looking: Looking
    plugins: frozenset[str]
    status: bool


async def _wanted(
    request: Request,
    limit: Annotated[int, Query(ge=0)] = 0,
    det_prob_threshold: Annotated[float, Query(ge=0, le=1)] = 0.0,
    status: bool = False,
) -> Wanted:
    plugins = plugins_in(request.query_params)
    return Wanted(Looking(limit, det_prob_threshold, "calculator" in plugins), plugins, status)


Wish = Annotated[Wanted, Depends(_wanted)]
PictureBody = Annotated[Picture, Depends(body_of(Picture))]
TwoPicturesBody = Annotated[TwoPictures, Depends(body_of(TwoPictures))]
SubjectBody = Annotated[Subject, Depends(body_of(Subject))]
SubjectName = Annotated[Name, Query(alias="subject")]
LeastScore = Annotated[float, Query(alias="det_prob_threshold", ge=0, le=1)]
