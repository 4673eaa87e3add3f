"""How often a key may ask, and that this is not forgotten."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.api.test_access import Place, populate
from tests.command_line import make_on_command_line, run
from tests.service import Service
from tests.waiting import wait_until


def test_requests_beyond_the_rate_are_429_with_the_time_to_wait(
    caller: Callable[..., httpx.Client],
) -> None:
    client = caller("read", requests_a_minute=6)
    statuses = [client.get("/models").status_code for _ in range(10)]
    assert statuses[:6] == [200] * 6
    assert statuses[7:] == [429] * 3
    refused = client.get("/models")
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 10


def test_one_key_does_not_use_up_anothers_rate(caller: Callable[..., httpx.Client]) -> None:
    greedy, modest = caller("read", requests_a_minute=2), caller("read", requests_a_minute=2)
    for _ in range(5):
        greedy.get("/models")
    assert modest.get("/models").status_code == 200


def test_more_at_a_time_than_a_key_may_is_429(
    caller: Callable[..., httpx.Client], group: bytes
) -> None:
    client = caller("identify", concurrency=1)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: client.post("/detect", files={"image": group}), range(12))
        )
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    assert {a.json()["code"] for a in answers if a.status_code == 429} == {"concurrency_limited"}
    assert client.post("/detect", files={"image": group}).status_code == 200


def test_trying_pictures_against_one_person_ends(
    caller: Callable[..., httpx.Client], hanks: bytes, astronaut: bytes
) -> None:
    owner = caller("enroll")
    place, other = populate(owner, hanks), populate(owner, hanks)
    client = caller("verify")

    def verify(image: bytes, where: Place) -> httpx.Response:
        data = {"collection": where.collection, "person_id": where.person_id, "threshold": "0.99"}
        return client.post("/verify", files={"image": image}, data=data)

    answers = [verify(astronaut, place) for _ in range(32)]
    assert [a.status_code for a in answers[:30]] == [200] * 30
    assert not any(a.json()["verified"] for a in answers[:30])
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "verify_limited"
    assert int(answers[-1].headers["retry-after"]) > 60
    # The person's own picture would not help now either, and other persons are not concerned.
    assert verify(hanks, place).status_code == 429
    assert verify(hanks, other).json()["verified"] is True


def test_limits_survive_a_restart(serve: Callable[..., Service], group: bytes) -> None:
    service = serve(ROLLCALL_REQUIRE_KEYS="true")
    secret = make_on_command_line(service, "--scope", "read", "--requests-a-minute", "3")
    headers = {"Authorization": f"Bearer {secret}"}
    with service.client() as client:
        wait_until(lambda: client.get("/models", headers=headers).status_code == 200)
        wait_until(lambda: client.get("/models", headers=headers).status_code == 429)
    assert service.terminate() == 0
    again = serve(ROLLCALL_REQUIRE_KEYS="true")
    with again.client() as client:
        assert client.get("/models", headers=headers).status_code == 429


def test_replicas_count_together_and_forget_a_revoked_key_together(
    serve: Callable[..., Service],
) -> None:
    one, other = serve(ROLLCALL_REQUIRE_KEYS="true"), serve(ROLLCALL_REQUIRE_KEYS="true")
    secret = make_on_command_line(one, "--scope", "read", "--requests-a-minute", "100")
    headers = {"Authorization": f"Bearer {secret}"}
    with one.client() as here, other.client() as there:
        wait_until(lambda: here.get("/models", headers=headers).status_code == 200)
        wait_until(lambda: here.get("/models", headers=headers).status_code == 429)
        wait_until(lambda: there.get("/models", headers=headers).status_code == 429)
        run(one, "keys", "revoke", secret.split("_")[1])
        for client in (here, there):
            wait_until(lambda c=client: c.get("/models", headers=headers).status_code == 401)
