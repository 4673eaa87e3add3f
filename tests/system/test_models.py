"""A collection belongs to the model that made its templates."""

from collections.abc import Callable
from pathlib import Path

from tests.service import Service
from tests.tiny_pack import write_tiny_pack


def test_another_model_answers_for_its_own_collections_only(
    serve: Callable[..., Service], tiny_pack: Path, tmp_path: Path, hanks: bytes
) -> None:
    first = serve()
    with first.client() as client:
        old = client.post("/enroll", files={"images": hanks}).json()
    first.kill()

    other_pack = write_tiny_pack(tmp_path / "other", seed=1, dimension=48)
    alone = serve(ROLLCALL_PACK=str(other_pack))
    with alone.client() as client:
        for path, field in (("/identify", "image"), ("/enroll", "images")):
            refused = client.post(path, files={field: hanks})
            assert (refused.status_code, refused.json()["code"]) == (409, "model_not_loaded")
            assert refused.json()["model"] == old["model"]
        new = client.post("/enroll", files={"images": hanks}, data={"collection": "new"}).json()
        assert new["model"] != old["model"]
    alone.kill()

    both = serve(ROLLCALL_PACK=str(other_pack), ROLLCALL_EXTRA_PACKS=f'["{tiny_pack}"]')
    with both.client() as client:
        models = {each["model"]: each["default"] for each in client.get("/models").json()["models"]}
        assert models == {old["model"]: False, new["model"]: True}
        for collection, enrolled in (("default", old), ("new", new)):
            found = client.post(
                "/identify", files={"image": hanks}, data={"collection": collection}
            ).json()
            assert found["model"] == enrolled["model"]
            person = found["faces"][0]["candidates"][0]["person"]["id"]
            assert person == enrolled["person"]["id"]
        together = client.post(
            "/identify", files={"image": hanks}, data={"collections": "default,new"}
        )
        assert (together.status_code, together.json()["code"]) == (409, "models_differ")
        assert together.json()["models"] == sorted(models)
