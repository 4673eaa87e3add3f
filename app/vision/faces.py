"""One pack at work: bytes to faces, crops to embeddings. What the use cases see of vision."""

from collections.abc import Sequence

import numpy as np

from app.batching import MicroBatcher
from app.types import Face, Floats, Pixels
from app.vision.crew import Crew, Crops, Look, Seen
from app.vision.pack import Pack


class Vision:
    """A pack at work: `look` takes images through decode, detect, align and embed, `embedding`
    takes crops. The parameters after `crew` are MicroBatcher's."""

    def __init__(
        self, pack: Pack, crew: Crew, *, depth: int, patience: float, deadline: float
    ) -> None:
        self.pack = pack
        self.model = pack.model
        self.dimension = crew.dimension
        self.providers = crew.providers
        self._crew = crew
        self._nobody = np.empty((0, crew.dimension), dtype=np.float32)
        self.look: MicroBatcher[Look, Seen] = MicroBatcher(
            "look",
            crew.look,
            workers=crew.looks,
            limit=1,
            depth=depth,
            patience=patience,
            deadline=deadline,
        )
        self.embedding: MicroBatcher[Crops, Floats] = MicroBatcher(
            "embed",
            crew.embed,
            workers=crew.batches,
            limit=crew.limit,
            depth=depth,
            patience=patience,
            deadline=deadline,
        )

    @property
    def deaths(self) -> int:
        """Processes that an image ended."""
        return self._crew.deaths

    async def faces(self, image: bytes, most: int = 0) -> list[Face]:
        """The `most` largest faces in an image, 0 for all, largest first; empty if there are none.

        Where fewer than all are wanted a large image is looked at only as closely as they need.
        Raises ImageRefused where it cannot be decoded, Overloaded where too many wait.
        """
        return (await self.look.submit(Look(image, most, embed=False))).faces

    async def recognise(self, image: bytes, most: int = 0) -> Seen:
        """What `faces` gives, with the embeddings. Raises what `faces` and `embed` raise."""
        if self._crew.embeds_at_once:
            return await self.look.submit(Look(image, most, embed=True))
        faces = await self.faces(image, most)
        return Seen(faces, await self.embed([face.crop for face in faces]))

    async def embed(self, crops: Sequence[Pixels]) -> Floats:
        """Embeddings float32[N, D] of length one, in the order of `crops`, uint8[112, 112, 3] each.

        Raises Overloaded where too many wait, EmbeddingFailed and DeviceFailed as the recognizer.
        """
        if not crops:
            return self._nobody
        return await self.embedding.submit(Crops(np.stack(crops)))

    async def warm_up(self) -> None:
        """Have everything run once, in the shapes that will come."""
        await self._crew.warm_up()

    async def close(self) -> None:
        """Answer what waits with Overloaded, let what runs end, and free who looked."""
        await self.look.close()
        await self.embedding.close()
        await self._crew.close()
