"""Signatures of AWS, version 4, in headers: read, and checked against a key's secret.

Written after "Signature Version 4 signing process" of the AWS General Reference. Only what a
client of Rekognition sends is taken: POST to /, no query, a signature in `Authorization`. Nothing
here knows keys or clocks; both are handed in.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from app.doors.rekognition.errors import Refused

SKEW: Final = timedelta(minutes=5)
"""How far a request's date may lie from now, either way: what AWS allows."""

SERVICE: Final = "rekognition"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_TERMINATOR: Final = "aws4_request"
_CREDENTIAL: Final = re.compile(
    r"(?P<key>[A-Za-z0-9]{1,128})/(?P<date>[0-9]{8})/(?P<region>[A-Za-z0-9-]{1,64})"
    r"/(?P<service>[A-Za-z0-9-]{1,64})/(?P<end>[a-z0-9_]{1,32})"
)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")
_MOMENT: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A signed request before its body is known: who says to have signed it, and what.

    `head` is the canonical request up to the hash of the body, `moment` the signed date.
    """

    key_id: str
    region: str
    moment: datetime
    head: str
    signature: bytes

    @property
    def forget_at(self) -> datetime:
        """When the request is too old to be taken by anybody, whose clock is a little wrong too."""
        return self.moment + 3 * SKEW

    def is_by(self, secret: str, body_hash: str) -> bool:
        """Whether the signature is that of `secret` over this head and a body whose SHA-256, in
        hexadecimal, is `body_hash`. Compared in constant time."""
        stamp = _stamp(self.moment)
        scope = f"{stamp[:8]}/{self.region}/{SERVICE}/{_TERMINATOR}"
        request = sha256(f"{self.head}\n{body_hash}".encode("latin-1")).hexdigest()
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{request}"
        key = signing_key(secret, stamp[:8], self.region, SERVICE)
        return hmac.compare_digest(_mac(key, text), self.signature)


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, _TERMINATOR):
        key = _mac(key, part)
    return key


def read(headers: Headers, now: datetime) -> Claim:
    """The claim of a POST to / without a query.

    Raises Refused: MissingAuthenticationTokenException without a signature, InvalidSignature-
    Exception for one of another date or service, IncompleteSignatureException for one that lacks
    something, UnrecognizedClientException for temporary credentials.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    credential, signed, signature = _authorization(values)
    if "x-amz-security-token" in values:
        raise Refused(
            "UnrecognizedClientException",
            "The security token included in the request is invalid: this service gives none.",
        )
    _require_signed(values, signed)
    moment = _moment(values["x-amz-date"])
    if credential["service"] != SERVICE or credential["end"] != _TERMINATOR:
        raise Refused(
            "InvalidSignatureException", f"Credential should be scoped to service: '{SERVICE}'."
        )
    if credential["date"] != _stamp(moment)[:8]:
        raise Refused(
            "InvalidSignatureException",
            "Date in Credential scope does not match YYYYMMDD of X-Amz-Date.",
        )
    _require_current(moment, now)
    lines = [f"{name}:{','.join(_trimmed(each) for each in values[name])}" for name in signed]
    head = "\n".join(["POST", "/", "", *lines, "", ";".join(signed)])
    return Claim(
        key_id=credential["key"],
        region=credential["region"],
        moment=moment,
        head=head,
        signature=bytes.fromhex(signature),
    )


def _authorization(values: Mapping[str, list[str]]) -> tuple[re.Match[str], list[str], str]:
    given = values.get("authorization", [])
    if not given:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    kind, _, rest = given[0].partition(" ")
    if len(given) > 1 or kind != _ALGORITHM:
        raise _incomplete(f"Authorization must come once, and begin with {_ALGORITHM}")
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    parts = {name: value for name, _, value in pairs}
    if len(pairs) != 3 or set(parts) != {"Credential", "SignedHeaders", "Signature"}:
        raise _incomplete("Authorization needs Credential, SignedHeaders and Signature, once each")
    credential = _CREDENTIAL.fullmatch(parts["Credential"])
    if credential is None:
        raise _incomplete("Credential must read KEY/YYYYMMDD/REGION/rekognition/aws4_request")
    signed = parts["SignedHeaders"].split(";")
    if signed != sorted(set(signed)) or not all(_HEADER_NAME.fullmatch(each) for each in signed):
        raise _incomplete("SignedHeaders must be in lower case and in order")
    if not _SIGNATURE.fullmatch(parts["Signature"]):
        raise _incomplete("Signature must be 64 hexadecimal digits")
    return credential, signed, parts["Signature"]


def _require_signed(values: Mapping[str, list[str]], signed: Sequence[str]) -> None:
    """What decides over the request must come once, and be signed."""
    for name in ("host", "x-amz-date", "x-amz-target"):
        if len(values.get(name, [])) != 1:
            raise _incomplete(f"the request needs one header '{name}'")
    deciding = {"host", *(name for name in values if name.startswith("x-amz-"))}
    if left := sorted(deciding - set(signed)):
        raise _incomplete(f"these headers are not signed: {', '.join(left)}")
    if absent := sorted(set(signed) - set(values)):
        raise _incomplete(f"these signed headers did not come: {', '.join(absent)}")


def _moment(given: Sequence[str]) -> datetime:
    text = given[0].strip()
    if _MOMENT.fullmatch(text):
        try:
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            pass
    raise _incomplete("X-Amz-Date must read YYYYMMDDTHHMMSSZ")


def _require_current(moment: datetime, now: datetime) -> None:
    if moment < now - SKEW:
        raise Refused(
            "InvalidSignatureException",
            f"Signature expired: {_stamp(moment)} is now earlier than {_stamp(now - SKEW)} "
            f"({_stamp(now)} - 5 min.)",
        )
    if moment > now + SKEW:
        raise Refused(
            "InvalidSignatureException",
            f"Signature not yet current: {_stamp(moment)} is still later than "
            f"{_stamp(now + SKEW)} ({_stamp(now)} + 5 min.)",
        )


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _trimmed(value: str) -> str:
    return " ".join(value.split())


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _incomplete(why: str) -> Refused:
    return Refused("IncompleteSignatureException", f"The signature is incomplete: {why}.")
