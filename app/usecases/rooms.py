"""What every use case may reach for. Built once, in app.main."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.arrangement import Plan
from app.batching import MicroBatcher
from app.errors import Conflict
from app.settings import Settings
from app.store.database import Database
from app.sync.access import Access
from app.sync.follow import Sync
from app.sync.journal import Journal
from app.vision.faces import Vision


class ModelNotLoaded(Conflict):
    """The collection is bound to a model that no pack of this service has."""

    code = "model_not_loaded"


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts of the service. `visions` is by model; `default` is the one of ROLLCALL_PACK."""

    settings: Settings
    arranged: Plan
    database: Database
    sync: Sync
    access: Access
    journal: Journal
    visions: Mapping[str, Vision]
    default: Vision

    def queues(self) -> Iterator[MicroBatcher[Any, Any]]:
        """Every queue that a request may wait in."""
        for vision in self.visions.values():
            yield from (vision.look, vision.embedding)
        yield self.sync.searcher.batcher

    def admit(self) -> None:
        """Raises Overloaded where an image would wait too long, whichever pack is meant."""
        least = min((vision.look for vision in self.visions.values()), key=lambda look: look.wait)
        least.admit()

    def vision_for(self, model: str | None) -> Vision:
        """The pack at work for a collection's model, the default where none is bound yet.

        Raises ModelNotLoaded.
        """
        if model is None:
            return self.default
        if model not in self.visions:
            raise ModelNotLoaded(
                f"This collection's templates were made by model {model}, which is not loaded. "
                "Name its pack in ROLLCALL_PACK or ROLLCALL_EXTRA_PACKS and restart.",
                model=model,
                loaded=sorted(self.visions),
            )
        return self.visions[model]
