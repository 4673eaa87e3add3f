"""What the tests of the door for Rekognition share: boto3 as its users have it, and its own model
of the service as the oracle of every answer."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import boto3
import botocore.session
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from app.store.database import Database
from app.types import Caller
from app.usecases import keys
from tests.service import VAULT, Service

Signing = Mapping[str, str]
"""The two halves of a key, by the names that boto3 has for them."""

REGION = "eu-central-1"
# Each request over a connection of its own.
_HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
_OPERATOR = Caller(None, frozenset(), None, "test")
MODEL: ServiceModel = botocore.session.get_session().get_service_model("rekognition")


def credentials(service: Service, key_id: str) -> Signing:
    """What `keys aws` prints for a key, as boto3 takes it. Made here: a process takes long."""

    async def secret() -> str:
        url = service.settings["ROLLCALL_DATABASE_URL"]
        database = Database(url, pool=2, vault=VAULT)
        try:
            return await keys.signing_secret(database, _OPERATOR, key_id)
        finally:
            await database.close()

    return {"aws_access_key_id": key_id, "aws_secret_access_key": asyncio.run(secret())}


def signed(
    url: str,
    signing: Signing,
    operation: str,
    body: Mapping[str, Any] | bytes = b"{}",
    *,
    minutes: float = 0,
    service: str = "rekognition",
    **headers: str,
) -> AWSRequest:
    """A request as botocore signs it, `minutes` from now."""
    request = AWSRequest(
        "POST",
        url + "/",
        data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={
            "X-Amz-Target": f"RekognitionService.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    pair = Credentials(signing["aws_access_key_id"], signing["aws_secret_access_key"])
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(pair, service, REGION).add_auth(request)
    return request


def send(request: AWSRequest, **changes: Any) -> httpx.Response:
    """As it is, or with another body (`content`), and headers more, changed or (None) left out."""
    content = changes.pop("content", request.body)
    headers = {**dict(request.headers), **changes.pop("headers", {})}
    kept = {name: value for name, value in headers.items() if value is not None}
    return _HTTP.post(request.url, content=content, headers=kept, **changes)


def name_of(answer: httpx.Response) -> str:
    """Of an error, in the form that AWS's clients read."""
    body = answer.json()
    assert set(body) == {"__type", "Code", "Message"}, body
    assert body["__type"] == body["Code"] and body["Message"]
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]
    return str(body["__type"])


def client(url: str, signing: Signing, *, attempts: int = 1, **config: Any) -> BaseClient:
    """As a script would make it, but for the endpoint; by default it tries once."""
    made = boto3.client(
        "rekognition",
        region_name=REGION,
        endpoint_url=url,
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}, **config),
        **signing,
    )
    made.meta.events.register("after-call.rekognition.*", _check)
    return made


def _check(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
    """Every answer that boto3 sees in a test is held against the model."""
    if http_response.status_code == 200:
        body = json.loads(http_response.content)
        faults = strangers(model.output_shape, body)
        assert faults == [], (model.name, faults)
    assert parsed["ResponseMetadata"]["RequestId"]


def strangers(shape: Shape | None, value: Any, at: str = "") -> list[str]:
    """Where an answer holds what the model does not: other members, types, words or numbers."""
    if shape is None:
        return [] if value == {} else [at or "."]
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            return [at]
        unknown = [f"{at}.{name}" for name in value if name not in shape.members]
        return unknown + [
            fault
            for name, inner in value.items()
            if name in shape.members
            for fault in strangers(shape.members[name], inner, f"{at}.{name}")
        ]
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            return [at]
        inside = [f for one in value for f in strangers(shape.member, one, f"{at}[]")]
        return inside + ([at] if len(value) > shape.metadata.get("max", len(value)) else [])
    if isinstance(shape, MapShape):
        raise AssertionError(f"{at}: no answer of ours has a map")
    return [] if _fits(shape, value) else [f"{at}: {value!r}"]


def _fits(shape: Shape, value: Any) -> bool:
    allowed = shape.metadata.get("enum")
    if shape.type_name == "string":
        longest = shape.metadata.get("max", 1 << 30)
        return (
            isinstance(value, str) and len(value) <= longest and (not allowed or value in allowed)
        )
    if isinstance(value, bool):
        return shape.type_name == "boolean"
    if shape.type_name in ("float", "double", "timestamp"):
        least, most = shape.metadata.get("min", -1e18), shape.metadata.get("max", 1e18)
        return isinstance(value, int | float) and least <= value <= most
    if shape.type_name in ("integer", "long"):
        return isinstance(value, int)
    return False
