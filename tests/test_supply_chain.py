"""What goes into the image is pinned, listed, and under terms that allow it."""

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest

from supply.audit import read_audit
from supply.licences import read_policy, table
from supply.lock import Locked, Refused, read_lock
from supply.sbom import sbom
from tests.service import ROOT

IMAGES = ("cpu", "gpu")


def lock(image: str) -> list[Locked]:
    return list(read_lock(ROOT / "locks" / f"{image}.txt"))


@pytest.mark.parametrize("name", ["cpu", "gpu", "test", "tools"])
def test_every_line_of_every_lock_is_pinned_by_hash(name: str) -> None:
    locked = lock(name)
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    assert len(locked) == len(re.findall(r"^[^\s#]+==", text, re.MULTILINE)) > 50
    assert sum(len(each.hashes) for each in locked) == text.count("--hash=sha256:")


@pytest.mark.parametrize(
    "line",
    [
        "requests==2.34.2",
        "requests>=2 --hash=sha256:" + "0" * 64,
        "requests==2.34.2 --hash=md5:" + "0" * 32,
        "https://example.org/requests.whl --hash=sha256:" + "0" * 64,
        "--index-url https://example.org",
        "-r other.txt",
    ],
)
def test_a_lock_with_anything_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(f"alembic==1.20.1 \\\n    --hash=sha256:{'0' * 64}\n    # via x\n{line}\n")
    with pytest.raises(Refused):
        read_lock(path)


def test_the_image_installs_nothing_but_its_lock() -> None:
    told = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip\S* .*?install[^&]*", told)
    assert installs
    for each in installs:
        for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement"):
            assert option in each
    for other in ("curl", "wget", "git clone", "apt-get", "https://", "ADD "):
        assert other not in told


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_has_a_licence_that_is_allowed(image: str) -> None:
    policy = read_policy()
    policy.check(lock(image), gpu=image == "gpu")
    listed = table(policy, lock(image))
    assert all(f"| {each.name} | {each.version} |" in listed for each in lock(image))


def test_unknown_and_unsuitable_licences_are_refused_by_name() -> None:
    policy = read_policy()
    with pytest.raises(Refused, match="licence of leftpad is not known"):
        policy.check([Locked("leftpad", "1", ["0"], None)], gpu=False)
    policy.declared["viral"] = "MIT AND AGPL-3.0-only"
    with pytest.raises(Refused, match=r"viral is under MIT AND AGPL-3\.0-only"):
        policy.check([Locked("viral", "1", ["0"], None)], gpu=False)
    with pytest.raises(Refused, match="nvidia-cudnn-cu12"):
        policy.check(lock("gpu"), gpu=False)


def test_the_licences_on_record_are_those_that_installed_packages_declare() -> None:
    policy = read_policy()
    compared = 0
    for each in lock("cpu"):
        try:
            declared = importlib.metadata.metadata(each.name)["License-Expression"]
        except importlib.metadata.PackageNotFoundError:
            assert not each.in_image, each.name
            continue
        if declared:
            compared += 1
            assert policy.declared[each.name] == declared, each.name
    assert compared > 30
    assert policy.declared.keys() == {each.name for image in IMAGES for each in lock(image)}


@pytest.mark.parametrize("image", IMAGES)
def test_the_sbom_lists_exactly_the_lock_with_its_hashes(image: str) -> None:
    packs = ROOT / "models" / "packs"
    document = sbom("1.2.3", image, lock(image), read_policy(), packs)
    assert document == sbom("1.2.3", image, lock(image), read_policy(), packs)
    libraries: list[dict[str, Any]] = [
        each for each in document["components"] if each["type"] == "library"
    ]
    listed = {
        each["purl"]: {one["content"] for one in each["externalReferences"][0]["hashes"]}
        for each in libraries
    }
    assert listed == {f"pkg:pypi/{p.name}@{p.version}": set(p.hashes) for p in lock(image)}
    assert all(each["licenses"][0]["expression"] for each in libraries)
    excluded = {each["name"] for each in libraries if each["scope"] == "excluded"}
    assert "colorama" in excluded
    installed = [each["name"] for each in libraries if each["scope"] == "required"]
    assert len(installed) == len(set(installed))
    [model] = [each for each in document["components"] if each["type"] != "library"]
    assert model["name"] == "starter"


def test_silence_of_the_advisory_service_is_not_taken_for_health() -> None:
    here = [Locked("idna", "3.20", ["0"], None), Locked("urllib3", "2.8.0", ["0"], None)]
    nothing = '{"dependencies": [{"name": "idna", "skip_reason": "not found on PyPI"}]}'
    for answer in ("", "{}", nothing, '{"dependencies": []}'):
        assert read_audit(answer, here).unanswered == ["idna", "urllib3"]
    well = [{"name": p.name, "version": p.version, "vulns": []} for p in here]
    found = read_audit(json.dumps({"dependencies": well}), here)
    assert (found.vulnerable, found.unanswered) == ([], [])
    well[0]["vulns"] = [{"id": "PYSEC-1", "fix_versions": ["3.21"], "aliases": []}]
    found = read_audit(json.dumps({"dependencies": well}), here)
    assert found.vulnerable == ["idna 3.20: PYSEC-1, fixed in 3.21"]
