"""A CycloneDX 1.6 document of a lock and of the packs that go into the image with it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from supply.licences import Policy
from supply.lock import Locked


def sbom(
    version: str, image: str, locked: Sequence[Locked], policy: Policy, packs: Path
) -> dict[str, Any]:
    """The same lock gives the same document: it has no time and no random number.

    Packages whose marker does not hold in the image are listed with scope `excluded`.
    """
    components = [_package(each, policy) for each in locked]
    components += [_pack(path) for path in sorted(packs.glob("*/pack.json"))]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"rollcall-{image}",
                "name": f"rollcall ({image} image)",
                "version": version,
                "licenses": [{"expression": "MIT"}],
            }
        },
        "components": components,
        "dependencies": [
            {
                "ref": f"rollcall-{image}",
                "dependsOn": [each["bom-ref"] for each in components],
            }
        ],
    }
    content = json.dumps(document, sort_keys=True)
    return {**document, "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}"}


def _package(locked: Locked, policy: Policy) -> dict[str, Any]:
    purl = f"pkg:pypi/{locked.name}@{locked.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": locked.name,
        "version": locked.version,
        "purl": purl,
        "scope": "required" if locked.in_image else "excluded",
        "licenses": [{"expression": policy.licence_of(locked.name)}],
        # A file each for Python versions, machines and source: one of them is installed.
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/simple/{locked.name}/",
                "hashes": [{"alg": "SHA-256", "content": each} for each in locked.hashes],
            }
        ],
    }
    if locked.marker:
        component["properties"] = [{"name": "rollcall:marker", "value": locked.marker}]
    return component


def _pack(manifest: Path) -> dict[str, Any]:
    """A pack's recognizer; detectors come out of packages that are listed by themselves."""
    pack = json.loads(manifest.read_bytes())
    return {
        "type": "machine-learning-model",
        "bom-ref": f"pack:{pack['name']}@{pack['version']}",
        "name": pack["name"],
        "version": pack["version"],
        "hashes": [{"alg": "SHA-256", "content": pack["recognizer"]["sha256"]}],
        "licenses": [{"license": {"name": pack["licence"]}}],
    }
