"""`python -m supply`: SBOM, licence list and audit of both locks, into a folder.

Exit status: 0 all is well; 1 a licence is not allowed, a lock is not pinned, or a vulnerability
is known; 3 nobody could be asked about vulnerabilities, all else is well.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app import __version__
from supply.audit import read_audit
from supply.licences import read_policy, table
from supply.lock import Locked, Refused, read_lock
from supply.sbom import sbom

ROOT: Final = Path(__file__).parent.parent
IMAGES: Final = ("cpu", "gpu")
UNANSWERED: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m supply", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: %(default)s")
    parser.add_argument(
        "--service", choices=("pypi", "osv"), default="pypi", help="whom pip-audit asks"
    )
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        return max([_image(image, asked.out, asked.service) for image in IMAGES])
    except Refused as reason:
        print(f"REFUSED  {reason}", file=sys.stderr)
        return 1


def _image(image: str, out: Path, service: str) -> int:
    """The files of one image; the exit status. Raises Refused."""
    lock = ROOT / "locks" / f"{image}.txt"
    locked, policy = read_lock(lock), read_policy()
    policy.check(locked, gpu=image == "gpu")
    (out / f"licences-{image}.md").write_text(table(policy, locked))
    document = json.dumps(
        sbom(__version__, image, locked, policy, ROOT / "models" / "packs"), indent=2
    )
    _validate(document)
    (out / f"sbom-{image}.json").write_text(document + "\n")
    print(f"{image}: {len(locked)} packages, each pinned by hash and under an allowed licence")
    return _audit(lock, locked, out / f"audit-{image}.json", service)


def _validate(document: str) -> None:
    """Against CycloneDX's own schema. Raises Refused."""
    # Only where the tools are installed; the rest of this package needs nothing of them.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(document):
        raise Refused(f"The SBOM is not valid: {fault}")


def _audit(lock: Path, locked: Sequence[Locked], report: Path, service: str) -> int:
    """Raises Refused when a vulnerability is known."""
    report.unlink(missing_ok=True)
    subprocess.run(
        [
            sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes",
            "--disable-pip", "--no-deps", "--vulnerability-service", service,
            "--progress-spinner", "off", "--format", "json", "--output", report,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    found = read_audit(report.read_text() if report.exists() else "", locked)
    if found.vulnerable:
        raise Refused("known vulnerabilities:\n" + "\n".join(found.vulnerable))
    if found.unanswered:
        print(
            f"NOT AUDITED  {report.stem.removeprefix('audit-')}: {len(found.unanswered)} of the "
            f"image's packages got no answer from the advisory service ({service}): "
            f"{', '.join(found.unanswered[:5])} …\n"
            "Nothing is known about their vulnerabilities. Run this where the service can be "
            "reached.",
            file=sys.stderr,
        )
        return UNANSWERED
    print("no known vulnerability: every package of the image was asked about")
    return 0


if __name__ == "__main__":
    sys.exit(main())
