"""Who may come in by the door for Rekognition: a signature by one of our keys, good once."""

import asyncio
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from app.doors.rekognition import sigv4
from app.doors.rekognition.errors import Refused
from app.doors.rekognition.replays import YOUNG
from app.store.keys import proof, signing_secret
from tests.command_line import run
from tests.doors.rekognition.speaking import (
    REGION,
    Signing,
    client,
    credentials,
    name_of,
    send,
    signed,
)
from tests.service import Service

Make = Callable[..., Signing]

# -- the arithmetic, with botocore as the other side ------------------------------------------


def test_the_signing_key_is_that_of_the_published_example() -> None:
    """AWS General Reference, "Examples of how to derive a signing key"."""
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 (Amazon's example)
    key = sigv4.signing_key(secret, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def as_it_comes(request: AWSRequest) -> list[tuple[bytes, bytes]]:
    """The headers as ASGI has them."""
    came = [("host", "127.0.0.1:8000"), *request.headers.items()]
    return [(name.lower().encode(), str(value).encode("latin-1")) for name, value in came]


@given(
    st.binary(max_size=300),
    st.dictionaries(
        st.from_regex(r"x-amz-[a-z]{1,9}|x-[a-z]{1,5}", fullmatch=True),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
        max_size=4,
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=50),
)
def test_what_botocore_signs_is_by_that_secret_and_no_other(
    body: bytes, headers: dict[str, str], secret: str
) -> None:
    headers.pop("x-amz-date", None)
    headers.pop("x-amz-target", None)
    pair = {"aws_access_key_id": "abc", "aws_secret_access_key": secret}
    request = signed("http://127.0.0.1:8000", pair, "ListFaces", body, **headers)
    claim = sigv4.read(as_it_comes(request), datetime.now(UTC))
    digest = sha256(body).hexdigest()
    assert (claim.key_id, claim.region) == ("abc", REGION)
    assert claim.is_by(secret, digest)
    assert not claim.is_by(secret + "x", digest)
    assert not claim.is_by(secret, sha256(body + b"x").hexdigest())


def test_a_signing_secret_hangs_on_key_pepper_and_digest_and_is_never_a_proof() -> None:
    made = signing_secret(b"pepper", "id", b"digest")
    others = {
        signing_secret(b"other", "id", b"digest"),
        signing_secret(b"pepper", "di", b"digest"),
        signing_secret(b"pepper", "id", b"another"),
        urlsafe_b64encode(proof(b"pepper", "id", "digest")).rstrip(b"=").decode(),
        urlsafe_b64encode(hmac.digest(b"pepper", b"digest", "sha256")).rstrip(b"=").decode(),
    }
    assert len(made) == 43 and made not in others and len(others) == 5


@pytest.mark.parametrize("minutes", [-4.9, 0, 4.9])
def test_clocks_may_differ_by_less_than_five_minutes(minutes: float) -> None:
    pair = {"aws_access_key_id": "abc", "aws_secret_access_key": "secret"}
    request = signed("http://127.0.0.1:8000", pair, "ListFaces", minutes=minutes)
    claim = sigv4.read(as_it_comes(request), datetime.now(UTC))
    assert claim.forget_at > datetime.now(UTC) + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("header", "value", "name"),
    [
        ("authorization", "", "IncompleteSignatureException"),
        ("authorization", "Bearer rc_1_2", "IncompleteSignatureException"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a", "IncompleteSignatureException"),
        ("authorization", None, "MissingAuthenticationTokenException"),
        ("host", None, "IncompleteSignatureException"),
        ("x-amz-date", None, "IncompleteSignatureException"),
        ("x-amz-date", "20260231T000000Z", "IncompleteSignatureException"),
        ("x-amz-date", "2026-01-01T00:00:00Z", "IncompleteSignatureException"),
        ("x-amz-new", "not signed", "IncompleteSignatureException"),
        ("x-amz-security-token", "temporary", "UnrecognizedClientException"),
    ],
)
def test_a_head_that_lacks_something_is_refused(header: str, value: str | None, name: str) -> None:
    pair = {"aws_access_key_id": "abc", "aws_secret_access_key": "secret"}
    request = signed("http://127.0.0.1:8000", pair, "ListFaces")
    came = [each for each in as_it_comes(request) if each[0] != header.encode()]
    if value is not None:
        came.append((header.encode(), value.encode()))
    with pytest.raises(Refused) as refused:
        sigv4.read(came, datetime.now(UTC))
    assert refused.value.name == name


@pytest.mark.parametrize("name", [b"authorization", b"x-amz-target", b"x-amz-date", b"host"])
def test_a_header_that_decides_and_comes_twice_is_refused(name: bytes) -> None:
    pair = {"aws_access_key_id": "abc", "aws_secret_access_key": "secret"}
    came = as_it_comes(signed("http://127.0.0.1:8000", pair, "ListFaces"))
    twice = next(each for each in came if each[0] == name)
    with pytest.raises(Refused) as refused:
        sigv4.read([*came, twice], datetime.now(UTC))
    assert refused.value.name == "IncompleteSignatureException"


def database(service: Service, query: str) -> Any:
    """The rows of a statement on the service's database."""

    async def rows() -> Any:
        connection = await asyncpg.connect(service.settings["ROLLCALL_DATABASE_URL"])
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    return asyncio.run(rows())


# -- at the running service -------------------------------------------------------------------


def test_unsigned_badly_signed_and_wrongly_dated_requests_are_refused(
    open_service: Service, signing: Make
) -> None:
    url, good = open_service.url, signing("read")
    key_id = good["aws_access_key_id"]
    wrong = {**good, "aws_secret_access_key": good["aws_secret_access_key"][:-1] + "!"}
    unknown = {**good, "aws_access_key_id": "0" * 16}
    refused = {
        "MissingAuthenticationTokenException": [
            send(signed(url, good, "ListCollections"), headers={"Authorization": None}),
        ],
        "IncompleteSignatureException": [
            send(signed(url, good, "ListCollections"), headers={"Authorization": "Bearer x"}),
            send(signed(url, good, "ListCollections"), headers={"X-Amz-Meta-Other": "x"}),
        ],
        "UnrecognizedClientException": [send(signed(url, unknown, "ListCollections"))],
        "InvalidSignatureException": [
            send(signed(url, wrong, "ListCollections")),
            send(signed(url, good, "ListCollections", service="s3")),
            send(signed(url, good, "ListCollections", minutes=-5.2)),
            send(signed(url, good, "ListCollections", minutes=5.2)),
            # Signed for one thing, sent as another.
            send(signed(url, good, "ListCollections"), content=b'{"MaxResults": 1}'),
            send(
                signed(url, good, "ListCollections"),
                headers={"X-Amz-Target": "RekognitionService.DeleteCollection"},
            ),
            send(
                signed(url, good, "ListCollections"),
                headers={"X-Amz-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M59Z")},
            ),
            send(signed(url, good, "ListCollections", X_Amz_Content_SHA256="UNSIGNED-PAYLOAD")),
            send(signed(url, good, "ListCollections", X_Amz_Content_SHA256="0" * 64)),
        ],
    }
    for name, answers in refused.items():
        for answer in answers:
            assert (name_of(answer), answer.status_code) == (name, 400), answer.text
            assert key_id not in answer.text
    assert send(signed(url, good, "ListCollections")).status_code == 200


def test_a_presigned_address_opens_nothing(open_service: Service, signing: Make) -> None:
    pair = signing("read")
    request = AWSRequest(
        "POST", open_service.url + "/", data=b"{}",
        headers={"X-Amz-Target": "RekognitionService.ListCollections"},
    )  # fmt: skip
    keys = Credentials(pair["aws_access_key_id"], pair["aws_secret_access_key"])
    SigV4QueryAuth(keys, "rekognition", REGION).add_auth(request)
    answer = httpx.post(request.url, content=b"{}", headers=dict(request.headers))
    assert name_of(answer) == "MissingAuthenticationTokenException"


def test_a_signature_over_a_query_does_not_hold(open_service: Service, signing: Make) -> None:
    answer = send(signed(open_service.url, signing("read"), "ListCollections"), params={"a": "b"})
    assert name_of(answer) == "InvalidSignatureException"


def test_a_request_that_is_sent_again_is_refused_here_and_elsewhere(
    open_service: Service, replica: Service, signing: Make
) -> None:
    """Word for word, over the same connection or another, at once or later."""
    call = {"amz-sdk-invocation-id": str(uuid4()), "amz-sdk-request": "attempt=1"}
    request = signed(open_service.url, signing("read"), "ListCollections")
    host = open_service.url.removeprefix("http://")
    headers = {**dict(request.headers), **call, "Host": host}
    with httpx.Client() as kept:
        assert kept.post(request.url, content=request.body, headers=headers).status_code == 200
        again = kept.post(request.url, content=request.body, headers=headers)
    for answer in (
        again,
        send(request, headers=call),
        # Behind a balancer all processes have one address, which is signed.
        httpx.post(replica.url + "/", content=request.body, headers=headers),
    ):
        assert (name_of(answer), answer.status_code) == ("InvalidSignatureException", 400)
        assert "came before" in answer.json()["Message"]


def test_a_copy_that_says_to_be_another_call_is_refused_too(
    open_service: Service, replica: Service, signing: Make
) -> None:
    """What a client calls its calls is not signed, so it is believed over its own connection only.
    An honest client is told to sign anew; after some seconds nobody is honest."""

    def call() -> dict[str, str]:
        return {"amz-sdk-invocation-id": str(uuid4()), "amz-sdk-request": "attempt=1"}

    request = signed(open_service.url, signing("read"), "ListCollections")
    host = {"Host": open_service.url.removeprefix("http://")}
    with httpx.Client() as kept:
        headers = {**dict(request.headers), **host}
        first = kept.post(request.url, content=request.body, headers={**headers, **call()})
        other = kept.post(request.url, content=request.body, headers={**headers, **call()})
        forged = {**headers, **call(), "X-Forwarded-For": "127.0.0.1:1"}
        proxied = kept.post(request.url, content=request.body, headers=forged)
    assert (first.status_code, other.status_code) == (200, 200)
    copies = [proxied, send(request, headers=call())]
    copies.append(
        httpx.post(replica.url + "/", content=request.body, headers={**headers, **call()})
    )
    for copy in copies:
        assert (name_of(copy), copy.status_code) == ("ThrottlingException", 503)
        assert "Sign it anew" in copy.json()["Message"]
    database(open_service, f"UPDATE used_signatures SET used_at = now() - interval '{YOUNG} s'")
    assert name_of(send(request, headers=call())) == "InvalidSignatureException"


def test_of_copies_that_come_together_one_is_answered(open_service: Service, signing: Make) -> None:
    request = signed(open_service.url, signing("read"), "ListCollections")

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient() as http:
            answers = await asyncio.gather(
                *(
                    http.post(request.url, content=request.body, headers=dict(request.headers))
                    for _ in range(4)
                )
            )
        return [answer.status_code for answer in answers]

    assert sorted(asyncio.run(all_at_once())) == [200, 400, 400, 400]


def test_boto3_may_say_the_same_many_times_a_second(open_service: Service, signing: Make) -> None:
    """It signs such calls alike: its ids of calls and attempts are not signed."""
    signatures: list[str] = []
    calls: list[str] = []

    def sent(request: Any, **_: Any) -> None:
        signatures.append(request.headers["Authorization"])
        calls.append(request.headers["amz-sdk-invocation-id"])
        assert "amz-sdk" not in str(request.headers["Authorization"])

    asking = client(open_service.url, signing("read"))
    asking.meta.events.register("before-send.rekognition.*", sent)
    for _ in range(20):
        asking.list_collections()
    assert len(calls) == len(set(calls)) == 20
    assert len(set(signatures)) < 20


def test_threads_of_boto3_that_say_the_same_at_once_are_all_answered(
    open_service: Service, signing: Make
) -> None:
    """Over connections of their own: each comes again in a second of its own."""
    asking = client(open_service.url, signing("read"), attempts=5)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: asking.list_collections(), range(3)))
    assert all("CollectionIds" in answer for answer in answers)


def test_only_what_is_new_is_remembered_and_only_while_it_must_be(
    open_service: Service, signing: Make
) -> None:
    request = signed(open_service.url, signing("read"), "ListCollections")
    signature = bytes.fromhex(str(request.headers["Authorization"]).rsplit("=", 1)[1])
    bad = signed(open_service.url, {**signing("read"), "aws_secret_access_key": "x"}, "ListFaces")
    assert send(request).status_code == 200
    assert send(bad).status_code == 400

    found = database(open_service, "SELECT signature, dead_at FROM used_signatures")
    rows = {row["signature"]: row["dead_at"] for row in found}
    assert bytes.fromhex(str(bad.headers["Authorization"]).rsplit("=", 1)[1]) not in rows
    left = rows[signature] - datetime.now(UTC)
    assert timedelta(minutes=10) < left <= timedelta(minutes=15)


# -- the secrets ------------------------------------------------------------------------------


def test_the_command_prints_what_boto3_takes_and_leaves_a_record(
    open_service: Service, admin: httpx.Client
) -> None:
    key = admin.post("/keys", json={"name": "x", "scopes": ["read"]}).json()
    lines = run(open_service, "keys", "aws", key["id"]).splitlines()
    pair = dict(line.split(" = ") for line in lines)
    assert pair == credentials(open_service, key["id"])
    assert client(open_service.url, pair).list_collections()
    assert pair["aws_secret_access_key"] not in key["secret"]
    assert pair["aws_secret_access_key"] not in open_service.output()


def test_a_secret_changes_with_rotation_and_ends_with_the_key(
    open_service: Service, admin: httpx.Client
) -> None:
    def works(pair: Signing) -> bool:
        return send(signed(open_service.url, pair, "ListCollections")).status_code == 200

    key_id = admin.post("/keys", json={"name": "x", "scopes": ["read"]}).json()["id"]
    first = credentials(open_service, key_id)
    admin.post(f"/keys/{key_id}/rotate", json={"grace_seconds": 600})
    second = credentials(open_service, key_id)
    assert works(first) and works(second) and first != second
    admin.post(f"/keys/{key_id}/rotate", json={"grace_seconds": 0})
    third = credentials(open_service, key_id)
    assert works(third) and not works(second) and not works(first)
    assert admin.delete(f"/keys/{key_id}").status_code == 200
    answer = send(signed(open_service.url, third, "ListCollections"))
    assert name_of(answer) == "UnrecognizedClientException"


def test_the_key_itself_is_no_signing_secret_and_the_other_way_round(
    open_service: Service, admin: httpx.Client, boto: BaseClient
) -> None:
    key = admin.post("/keys", json={"name": "x", "scopes": ["read"]}).json()
    as_secret = {
        "aws_access_key_id": key["id"],
        "aws_secret_access_key": key["secret"].split("_", 2)[2],
    }
    answer = send(signed(open_service.url, as_secret, "ListCollections"))
    assert name_of(answer) == "InvalidSignatureException"
    secret = credentials(open_service, key["id"])["aws_secret_access_key"]
    token = f"Bearer rc_{key['id']}_{secret}"
    asked = httpx.get(f"{open_service.url}/models", headers={"Authorization": token})
    assert asked.status_code == 401
