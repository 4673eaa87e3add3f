"""PostgreSQL goes away and comes back: writes say so in time, identification goes on."""

import asyncio
import time
from pathlib import Path

from app.store.embedded import EmbeddedPostgres
from tests.service import SECRET, Service
from tests.waiting import wait_until


def test_writes_are_refused_in_time_and_identification_goes_on(
    tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    url = asyncio.run(server.start())
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
            "ROLLCALL_DATABASE_URL": url,
            "ROLLCALL_SECRET": SECRET,
        }
    )
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert client.post("/enroll", files={"images": hanks}).status_code == 201
            asyncio.run(server.stop())

            for _ in range(3):
                began = time.monotonic()
                refused = client.post("/enroll", files={"images": hanks})
                assert (refused.status_code, refused.json()["code"]) == (
                    503,
                    "database_unavailable",
                )
                assert int(refused.headers["retry-after"]) >= 1
                assert time.monotonic() - began < 3

            found = client.post("/identify", files={"image": hanks})
            assert found.status_code == 200
            [face] = found.json()["faces"]
            assert face["identified"] is True
            assert found.json()["details"] is False
            assert face["candidates"][0]["person"]["name"] is None
            assert client.get("/readyz").status_code == 200

            asyncio.run(server.start())
            wait_until(
                lambda: client.post("/enroll", files={"images": hanks}).status_code == 201,
                "it did not recover by itself",
            )
            answer = client.post("/identify", files={"image": hanks}).json()
            assert (answer["gallery_size"], answer["details"]) == (2, True)
    finally:
        service.kill()
        asyncio.run(server.stop())
