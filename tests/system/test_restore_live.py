"""A backup is put back under running replicas: nobody who is not in it is shown any more."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.backup import dump, restore
from tests.service import Service
from tests.system.test_replicas import enroll, identify


def test_what_the_backup_does_not_hold_is_shown_by_no_replica(
    serve: Callable[..., Service],
    database_url: str,
    tmp_path: Path,
    hanks: bytes,
    astronaut: bytes,
    group: bytes,
) -> None:
    images = (hanks, astronaut, group)
    with serve().client() as one, serve().client() as other:
        kept = [enroll(one, image)["person"]["id"] for image in images]
        dump(database_url, tmp_path / "dump")
        lost = [enroll(each, image) for image in images for each in (one, other)]
        assert one.delete(f"/persons/{kept[0]}").status_code == 200
        for client in (one, other):
            assert identify(client, hanks, min_revision="10")["gallery_size"] == 8

        restore(database_url, tmp_path / "dump")
        # From the commit of the restore on, whatever the index still holds.
        deadline = time.monotonic() + 4

        def ask(client: httpx.Client) -> set[str]:
            shown: set[str] = set()
            while time.monotonic() < deadline:
                for image in images:
                    seen = identify(client, image, top_k="100")
                    assert seen["details"] is True
                    shown |= {each["person"]["id"] for each in seen["faces"][0]["candidates"]}
            return shown

        with ThreadPoolExecutor(4) as pool:
            shown = list(pool.map(ask, (one, other, one, other)))
        for each in shown:
            assert not each & {body["person"]["id"] for body in lost}
            assert each == set(kept), "who was deleted after the backup is there again, as it says"

        # Revisions are given anew, and mean the new history on both.
        new = enroll(one, astronaut)
        assert new["revision"] == 4
        for client in (other, one):
            seen = identify(client, astronaut, min_revision="4", top_k="100")
            assert (seen["revision"], seen["gallery_size"]) == (4, 4)
            found = {each["person"]["id"] for each in seen["faces"][0]["candidates"]}
            assert found == {*kept, new["person"]["id"]}
            audit = client.get("/collections/default/audit").json()
            assert (audit["equal"], audit["database"]["templates"]) == (True, 4)
