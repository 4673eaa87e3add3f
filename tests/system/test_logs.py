"""What is logged, and what never is."""

import json
from pathlib import Path

from tests.service import Service

CANARY = "Kanarienvogel"


def test_no_name_key_or_path_reaches_any_log(
    tiny_pack: Path, tmp_path: Path, hanks: bytes, faceless: bytes
) -> None:
    settings = {"ROLLCALL_PACK": str(tiny_pack), "ROLLCALL_DATA_DIR": str(tmp_path / "data")}
    service = Service(settings)
    try:
        service.wait_until_ready()
        with service.client() as client:
            words = {"name": CANARY, "external_id": f"{CANARY}-1"}
            words["metadata"] = json.dumps({"a": CANARY})
            key = {"Idempotency-Key": f"{CANARY}-key"}
            for image in (hanks, hanks, faceless, b"broken"):
                client.post("/enroll", files={"images": (f"{CANARY}.jpg", image)}, data=words)
            client.post("/enroll", files={"images": hanks}, data={"name": CANARY}, headers=key)
            client.post("/enroll", files={"images": faceless}, data={"name": CANARY}, headers=key)
            client.get(
                "/collections/default/persons", params={"name": CANARY, "external_id": CANARY}
            )
            person = client.get("/collections/default/persons").json()["persons"][1]["id"]
            client.patch(f"/persons/{person}", json={"external_id": f"{CANARY}-1"})
            client.patch(f"/persons/{person}", json={"metadata": {"y": CANARY}})
            client.post("/identify", files={"image": hanks}, data={CANARY: CANARY})
            client.get(f"/{CANARY}")
        assert service.terminate() == 0
        ours = service.output()
        theirs = (tmp_path / "data" / "postgres" / "log").read_text()
        assert '"route": "/enroll"' in ours
        for log in (ours, theirs):
            assert CANARY not in log
        assert person not in ours
        for line in ours.splitlines():
            if not line.startswith("Rollcall "):
                assert {"event", "level", "timestamp"} <= set(json.loads(line)), line
    finally:
        service.kill()
