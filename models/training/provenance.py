"""Which source made a file."""

import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of this checkout, with "+" where files were changed since; else "unknown"."""
    return _git("describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*") or "unknown"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git here
        return ""
    return said.stdout.strip()
