"""The client and the application's own document do not part unseen."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from rollcall_client import Enrolment, Probe, Rollcall, calls, codes, models
from rollcall_client.call import Call
from rollcall_client.errors import UnexpectedAnswer

from clients import generate

DOCUMENT: dict[str, Any] = json.loads(generate.openapi())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ID = UUID(int=7)
NOW = datetime.now(UTC)

# Each method with all that it takes; where not all goes together, several times.
CALLS: dict[str, list[Callable[[], Call[Any]]]] = {
    "enroll": [
        lambda: calls.enroll(
            b"",
            collection="c",
            person_id=ID,
            name="n",
            external_id="e",
            metadata={},
            consent="c",
            expires_at=NOW,
            references=["r"],
        )
    ],
    "identify": [
        lambda: calls.identify(
            b"",
            collection="c",
            person_ids=[ID],
            top_k=1,
            max_faces=1,
            threshold=0.5,
            target_fpir=0.1,
            min_revision=1,
        ),
        lambda: calls.identify(face_id=ID, collections=["c"]),
    ],
    "verify": [
        lambda: calls.verify(b"", b"", threshold=0.5),
        lambda: calls.verify(b"", person_id=ID, collection="c", target_fmr=0.1),
    ],
    "detect": [lambda: calls.detect(b"")],
    "embeddings": [lambda: calls.embeddings(b"")],
    "collections": [lambda: calls.collections(cursor="c", limit=1)],
    "make_collection": [lambda: calls.make_collection("c")],
    "collection": [lambda: calls.collection("c")],
    "delete_collection": [lambda: calls.delete_collection("c")],
    "thresholds": [lambda: calls.thresholds("c")],
    "audit_collection": [lambda: calls.audit_collection("c")],
    "import_part": [lambda: calls.import_part("c", "m", [{}], [{}])],
    "search": [
        lambda: calls.search(
            [[1.0]],
            "m",
            "c",
            person_ids=[ID],
            top_k=1,
            threshold=0.5,
            target_fpir=0.1,
            min_revision=1,
        )
    ],
    "persons": [lambda: calls.persons("c", name="n", external_id="e", cursor="c", limit=1)],
    "person": [lambda: calls.person(ID)],
    "edit_person": [
        lambda: calls.edit_person(
            ID, name="n", external_id="e", metadata={}, consent="c", expires_at=NOW
        )
    ],
    "delete_person": [lambda: calls.delete_person(ID)],
    "person_faces": [lambda: calls.person_faces(ID)],
    "merge_persons": [lambda: calls.merge_persons(ID, [ID])],
    "move_faces": [lambda: calls.move_faces(ID, [ID])],
    "faces": [lambda: calls.faces("c", cursor="c", limit=1)],
    "face": [lambda: calls.face(ID)],
    "face_crop": [lambda: calls.face_crop(ID)],
    "delete_face": [lambda: calls.delete_face(ID)],
    "models": [calls.models_at_work],
    "model_card": [lambda: calls.model_card("0" * 16)],
    "limits": [calls.limits],
    "caller": [calls.caller],
    "keys": [lambda: calls.keys(cursor="c", limit=1)],
    "make_key": [
        lambda: calls.make_key(
            "n",
            ["read"],
            collections=["c"],
            requests_a_minute=1,
            concurrency=1,
            expires_at=NOW,
        )
    ],
    "rotate_key": [lambda: calls.rotate_key("0" * 16, grace_seconds=1)],
    "revoke_key": [lambda: calls.revoke_key("0" * 16)],
    "audit": [lambda: calls.audit(cursor="c", limit=1)],
    "health": [calls.health],
    "ready": [calls.ready],
    "metrics": [calls.metrics],
}

# Answers that are too long to be held at once are no Call: they are read while they come.
STREAMED = {"export_collection": f"GET /{calls.export_path('c')}"}

# Operations that no method asks for, and why.
LEFT_OUT: dict[str, str] = {}

# What errors look like is read field by field: test_errors.py.
ERRORS = {"Problem", "InvalidField"}

OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def operation_of(call: Call[Any]) -> str:
    return operation_at(f"{call.method} /{call.path}")


def operation_at(address: str) -> str:
    """The operation of the document at an address. Names win over parameters."""
    fitting = [
        spoken for spoken in OPERATIONS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", spoken), address)
    ]
    assert fitting, f"{address} is no operation"
    return min(fitting, key=lambda spoken: spoken.count("{"))


def asked_by(name: str) -> tuple[str, list[Call[Any]]]:
    made = [make() for make in CALLS[name]]
    [operation] = {operation_of(call) for call in made}
    return operation, made


def test_the_document_that_is_checked_in_is_the_applications() -> None:
    written = json.loads(generate.OPENAPI.read_text())
    assert written == DOCUMENT, "run `make openapi`"


def test_the_document_is_written_alike_each_time() -> None:
    assert generate.openapi() == generate.openapi()


def test_every_reference_of_the_document_leads_somewhere() -> None:
    for target in re.findall(r'"\$ref": "([^"]+)"', generate.OPENAPI.read_text()):
        assert target.removeprefix("#/components/schemas/") in SCHEMAS, target


def test_the_classes_of_errors_are_those_of_the_documentation() -> None:
    assert generate.CODES.read_text() == generate.codes(), "run `make openapi`"


def test_every_code_that_a_request_meets_has_a_class_that_says_it() -> None:
    assert len(codes.CLASSES) > 50
    for code, kind in codes.CLASSES.items():
        if kind.code != "unknown":  # a family, for a code of its own
            assert kind("x").code == kind.code == code


def test_every_method_of_the_client_is_looked_at_here() -> None:
    methods = {
        name
        for name, value in vars(Rollcall).items()
        if callable(value) and not name.startswith("_")
    }
    assert methods - {"run", "walk", "close"} == CALLS.keys() | STREAMED.keys() | {
        f"{name}_page" for name in ("collection", "person", "face", "key", "audit")
    }


def test_every_operation_has_a_method_or_a_reason() -> None:
    asked = {asked_by(name)[0] for name in CALLS} | set(map(operation_at, STREAMED.values()))
    assert OPERATIONS.keys() - asked == LEFT_OUT.keys()
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("name", CALLS)
def test_a_method_takes_all_that_its_operation_takes(name: str) -> None:
    spoken, made = asked_by(name)
    operation = OPERATIONS[spoken]
    given = operation.get("parameters", ())
    parameters = {each["name"].lower() for each in given if each["in"] != "path"}
    sent = {field.lower() for call in made for field in (*call.query, *call.headers)}
    assert sent == parameters

    content = operation.get("requestBody", {}).get("content", {})
    told = {
        field
        for call in made
        for field in (
            *(call.json or ()),
            *dict(call.fields),
            *dict(call.images),
        )
    }
    for schema in content.values():
        assert told == set(schema["schema"]["properties"])
    assert content or not told


@pytest.mark.parametrize("name", CALLS)
def test_a_method_reads_what_its_operation_answers(name: str) -> None:
    spoken, made = asked_by(name)
    responses = {int(status): each for status, each in OPERATIONS[spoken]["responses"].items()}
    for status in (min(responses), *made[0].also):
        content = responses[status]["content"]
        answer = httpx.Response(status, content=b"{}")
        if "application/json" in content:
            said = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            with pytest.raises(UnexpectedAnswer, match=f"The answer is no {said}\\."):
                made[0].read(answer)
        else:
            assert made[0].read(answer) in {"{}", b"{}"}


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - ERRORS))
def test_an_answer_has_the_fields_of_its_schema(name: str) -> None:
    theirs = SCHEMAS[name]
    ours = getattr(models, name).model_json_schema(ref_template="#/components/schemas/{model}")
    assert {field: shape(each) for field, each in ours["properties"].items()} == {
        field: shape(each) for field, each in theirs["properties"].items()
    }
    assert set(ours.get("required", ())) == set(theirs.get("required", ()))


def test_every_schema_of_an_answer_is_one_of_the_document() -> None:
    answered = {kind.__name__ for kind in subclasses(models.Answered)}
    assert answered - SCHEMAS.keys() == set()


def shape(schema: Any) -> Any:
    """What a value may be, without words, bounds, and the values that a newer service may add."""
    if isinstance(schema, list):
        return [shape(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "password":  # text that is not shown
        return {"type": "string"}
    passed_over = {"title", "description", "default", "enum", "examples", "minimum", "maximum"}
    return {key: shape(each) for key, each in schema.items() if key not in passed_over}


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_wishes_take_what_methods_take() -> None:
    assert calls.enrolling(Enrolment(b"", name="n")).fields == calls.enroll(b"", name="n").fields
    assert calls.identifying(Probe(b"", top_k=2)).fields == calls.identify(b"", top_k=2).fields
