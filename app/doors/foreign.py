"""What a door is to the house: addresses, and how it speaks."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.types import Scope

from app.api.door import Refuse


@dataclass(frozen=True, slots=True)
class ForeignDoor:
    """The way in for callers of another service.

    owns: whether a request came by this door. images: how many images such a request may hold, 0
    for any other. refuse: how it is told an error.
    """

    router: APIRouter
    owns: Callable[[Scope], bool]
    images: Callable[[Scope], int]
    refuse: Refuse
