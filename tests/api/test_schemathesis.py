"""The service against its own OpenAPI document, by schemathesis: no 5xx, no undocumented answer."""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import schemathesis

from app.types import SCOPES
from tests.command_line import make_on_command_line
from tests.service import ROOT, Service
from tests.waiting import wait_until

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)
# Fuzzing must come to these, or it has tested nothing but refusals.
REACHED = {
    ("POST", "/enroll", 201),
    ("POST", "/identify", 200),
    ("POST", "/detect", 200),
    ("POST", "/embeddings", 200),
    ("POST", "/keys", 201),
    ("POST", "/keys/{key_id}/rotate", 200),
    ("DELETE", "/keys/{key_id}", 200),
    ("POST", "/collections", 201),
    ("DELETE", "/collections/{name}", 200),
    ("GET", "/collections/{name}/persons", 200),
    ("PATCH", "/persons/{person_id}", 200),
    ("GET", "/collections/{name}/faces", 200),
    ("GET", "/audit", 200),
    ("GET", "/models", 200),
    ("POST", "/verify", 200),
}
# For a revision that nobody has made.
WAITED = {("POST", "/identify", 503)}


@pytest.fixture
def fuzzed(serve: Callable[..., Service], tmp_path: Path, hanks: bytes, astronaut: bytes) -> "Fuzz":
    # A person may be tried as often as the fuzzer likes.
    service = serve(ROLLCALL_REQUIRE_KEYS="true", ROLLCALL_VERIFY_FAILURES="0")
    images = []
    for name, image in (("hanks", hanks), ("astronaut", astronaut)):
        (tmp_path / name).write_bytes(image)
        images.append(str(tmp_path / name))
    return Fuzz(service, images, tmp_path)


class Fuzz:
    """schemathesis as its users run it, each time with a key that may do all and has no limits."""

    def __init__(self, service: Service, images: list[str], folder: Path) -> None:
        # One method that an address does not take is as good as six.
        (folder / "schemathesis.toml").write_text(
            '[phases.coverage]\nunexpected-methods = ["PUT"]\n'
        )
        self.service = service
        self._folder = folder
        self._image = Path(images[0])
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
            "FUZZ_IMAGES": ":".join(images),
        }

    def _enrolled(self, key: str) -> str:
        """A person who is there now; what the run before left behind in the queues goes first."""
        with self.service.client() as client:
            client.headers["Authorization"] = f"Bearer {key}"
            wait_until(lambda: client.get("/keys").status_code == 200)
            return self._enrol(client)

    def _enrol(self, client: httpx.Client) -> str:
        give_up = time.monotonic() + 60
        while True:
            answer = client.post("/enroll", files={"images": self._image.read_bytes()})
            if answer.status_code not in (429, 503) or time.monotonic() > give_up:
                break
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["person"]["id"])

    def run(self, *options: str) -> Counter[tuple[str, str, int]]:
        """What was answered how often so far. Fails with the report of what was wrong."""
        # Whoever was there before may be erased by now, and the key revoked: fuzzers find its id.
        key = make_on_command_line(self.service, *(f"--scope={scope}" for scope in SCOPES))
        person = self._enrolled(key)
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run"),
                f"{self.service.url}/openapi.json",
                *("--header", f"Authorization: Bearer {key}"),
                *("--checks", ",".join(CHECKS), "--warnings", "off"),
                *("--generation-database", "none", "--continue-on-failure", *options),
            ],
            cwd=self._folder,
            env={**self._environment, "FUZZ_PERSON": person, "FUZZ_KEY": key.split("_")[1]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        requests = [line for line in self.service.said() if line["event"] == "request"]
        return Counter((line["method"], line["route"], line["status"]) for line in requests)


def test_every_answer_is_one_that_the_document_names(fuzzed: Fuzz) -> None:
    # Each value at its limits, beyond them and of other types; then at random. What a seed comes to
    # hangs on what it erases on its way, so others may follow.
    for seed in ("1", "2", "3", "4"):
        answers = fuzzed.run(
            *("--phases", "coverage,fuzzing", "--max-examples", "8", "--seed", seed, "--no-shrink"),
        )
        if set(answers) >= REACHED:
            break
    assert set(answers) >= REACHED
    assert {answer for answer in answers if answer[2] >= 500} <= WAITED
    assert "request.failed" not in fuzzed.service.output()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_long_fuzzing_finds_no_answer_that_the_document_does_not_name(fuzzed: Fuzz) -> None:
    answers = fuzzed.run("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "200")
    assert set(answers) >= REACHED
    assert {answer for answer in answers if answer[2] >= 500} <= WAITED
    assert "request.failed" not in fuzzed.service.output()


def test_the_document_is_an_openapi_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemathesis.openapi.from_dict(document).validate()
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
