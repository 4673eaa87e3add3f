"""The types that TypeScript callers use: generated from the document, compiled, and used."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service import ROOT, Service

FOLDER = ROOT / "clients" / "typescript"

# Node's own way to read a file stays out of the example, which runs in browsers too.
PROGRAM = """\
import { readFile } from "node:fs/promises";
import { connect, enroll, identify } from "./example.js";

const [url, collection, photo] = process.argv.slice(2);
const rollcall = connect(url);
const picture = new Blob([await readFile(photo)]);
const id = await enroll(rollcall, collection, "Tom", [picture]);
const again = await enroll(rollcall, collection, "Tom", [picture], "once");
const same = await enroll(rollcall, collection, "Tom", [picture], "once");
const candidates = await identify(rollcall, collection, picture);
const refusal = await identify(rollcall, "nowhere", picture).catch((error) => error.problem.code);
console.log(JSON.stringify({ id, again, same, candidates, refusal }));
"""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder with what package-lock.json names, installed where it is not."""
    if shutil.which("npm") is None:
        pytest.skip("no node and npm here: the TypeScript types are not compiled")
    copy = tmp_path_factory.mktemp("typescript") / "typescript"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(FOLDER.parent / "openapi.json", copy.parent)
    if (FOLDER / "node_modules" / ".bin" / "tsc").exists():
        (copy / "node_modules").symlink_to(FOLDER / "node_modules")
        return copy
    try:
        subprocess.run(["npm", "ci"], cwd=copy, check=True, timeout=30, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm ci did not install in 30 s: the TypeScript types are not compiled")
    return copy


@pytest.fixture(scope="session")
def compiled(tools: Path) -> str:
    """What the compiler said of the example, and of a copy that takes an answer for another."""
    example = (tools / "example.ts").read_text()
    assert "face.candidates" in example
    (tools / "wrong.ts").write_text(example.replace("face.candidates", "face.candidate"))
    return node(tools, "tsc", "--noEmit", "false", "--outDir", "built", expected=2)


def node(folder: Path, program: str, *arguments: str, expected: int = 0) -> str:
    """What a program of node_modules/.bin prints."""
    command = [f"node_modules/.bin/{program}", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def test_the_lock_pins_packages_by_hash_and_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 20
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name


def test_the_types_are_those_of_the_document(tools: Path) -> None:
    again = node(tools, "openapi-typescript", "../openapi.json")
    assert again == (FOLDER / "rollcall.ts").read_text(), "run `make openapi`"


def test_the_example_compiles_and_one_that_misspells_an_answer_does_not(compiled: str) -> None:
    [complaint] = compiled.splitlines()
    assert complaint.startswith("wrong.ts(")
    assert "'candidate' does not exist" in complaint


@pytest.mark.usefixtures("compiled")
def test_the_example_enrols_and_identifies(
    tools: Path, shared_service: Service, collection: str, hanks: bytes
) -> None:
    (tools / "built" / "program.js").write_text(PROGRAM)
    (tools / "photo.png").write_bytes(hanks)
    said = subprocess.run(
        ["node", "built/program.js", shared_service.url, collection, "photo.png"],
        cwd=tools,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    told = json.loads(said)
    assert told["again"] == told["same"] != told["id"]
    [offered] = [[each["person"]["name"] for each in face] for face in told["candidates"]]
    assert offered == ["Tom", "Tom"]
    assert told["refusal"] == "collection_not_found"
