"""kill -9 of the service during a stream of enrolments: nothing answered is lost."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from app.store.embedded import EmbeddedPostgres
from tests.service import Service

KILLS = 20

WHOLE = {
    "a person without a face": "SELECT count(*) FROM persons p "
    "WHERE NOT EXISTS (SELECT FROM faces f WHERE f.person_id = p.id)",
    "a face without a template": "SELECT count(*) FROM faces f "
    "WHERE NOT EXISTS (SELECT FROM templates t WHERE t.face_id = f.id)",
    "a revision that is not in the log": "SELECT count(*) FROM collections c WHERE revision <> "
    "(SELECT count(*) FROM changes h WHERE h.collection_id = c.id)",
    "a face that no change added": "SELECT count(*) FROM faces f WHERE NOT EXISTS "
    "(SELECT FROM changes h WHERE f.id = ANY(h.added))",
    "a link of the chain that does not fit": "SELECT count(*) FROM (SELECT parent, lag(digest) "
    "OVER (PARTITION BY collection_id ORDER BY revision) AS before FROM changes) AS links "
    "WHERE before IS NOT NULL AND before <> parent",
}


class Writer(threading.Thread):
    """Enrols without pause, wherever the service is at the moment; keeps what was answered."""

    def __init__(self, image: bytes) -> None:
        super().__init__(daemon=True)
        self.image = image
        self.url = ""
        self.answered: list[Any] = []
        self.stopped = False

    def run(self) -> None:
        client = httpx.Client(timeout=30)
        while not self.stopped:
            key = uuid4().hex
            try:
                answer = client.post(
                    f"{self.url}/enroll",
                    files={"images": self.image},
                    data={"on_duplicate": "allow", "external_id": key},
                    headers={"Idempotency-Key": key},
                )
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if answer.status_code == 201:
                self.answered.append(answer.json()["person"])


def test_nothing_answered_is_lost_and_nothing_unanswered_is_half_there(
    tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    settings = {"ROLLCALL_PACK": str(tiny_pack), "ROLLCALL_DATA_DIR": str(tmp_path / "data")}
    writers = [Writer(hanks) for _ in range(3)]
    service = Service(settings)
    try:
        for turn in range(KILLS):
            service.wait_until_ready()
            before = sum(len(writer.answered) for writer in writers)
            for writer in writers:
                writer.url = service.url
                if turn == 0:
                    writer.start()
            give_up = time.monotonic() + 30
            while sum(len(writer.answered) for writer in writers) <= before:
                assert time.monotonic() < give_up, "nothing was enrolled between two kills"
                time.sleep(0.01)
            time.sleep(0.01 * turn)  # another moment each time
            service.kill()
            # The PostgreSQL that the killed service left running is taken over.
            service = Service(settings)
        service.wait_until_ready()
        for writer in writers:
            writer.stopped = True
        for writer in writers:
            writer.join()
        answered = [person for writer in writers for person in writer.answered]
        assert len(answered) >= KILLS

        with service.client() as client:
            for person in answered:
                assert client.get(f"/persons/{person['id']}").json()["face_count"] == 1
            answer = client.post("/identify", files={"image": hanks}).json()
        faces, broken = asyncio.run(_look(tmp_path / "data" / "postgres"))
        assert answer["gallery_size"] == faces >= len(answered)
        assert broken == {}
        assert service.terminate() == 0
    finally:
        service.kill()
        asyncio.run(_stop(tmp_path / "data" / "postgres"))


async def _look(folder: Path) -> tuple[int, dict[str, int]]:
    """How many faces PostgreSQL has, and what is half there."""
    connection = await asyncpg.connect(await EmbeddedPostgres(folder).start())
    try:
        counts = {name: await connection.fetchval(query) for name, query in WHOLE.items()}
        faces = await connection.fetchval("SELECT count(*) FROM faces")
    finally:
        await connection.close()
    return faces, {name: count for name, count in counts.items() if count}


async def _stop(folder: Path) -> None:
    await EmbeddedPostgres(folder).stop()
