"""docs/security.md names a test for each promise, and the tests are there."""

import re
from pathlib import Path

from tests.service import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
FILES = list((ROOT / "tests").rglob("test_*.py"))


def file_of(name: str, near: Path | None) -> Path:
    """By its whole path, else the one named last, else the only one of that name."""
    if near is not None and near.name == name:
        return near
    found = [path for path in FILES if path == ROOT / name or path.name == name]
    assert len(found) == 1, name
    return found[0]


def cited() -> list[tuple[str, Path, str]]:
    """(promise, file, test) of each row; a test is empty where a whole file is named."""
    found = []
    near: Path | None = None
    for row in PAGE.splitlines():
        if not row.startswith("| ") or "`" not in row.rpartition(" | ")[2] or "---" in row:
            continue
        promise, _, tests = row.strip("| ").rpartition(" | ")
        for token in re.findall(r"`([^`]+)`", tests):
            name, _, test = token.partition("::")
            if name.endswith(".py") and Path(name).name.startswith("test_"):
                near = file_of(name, near)
            if test:
                assert near is not None, token
                found.append((promise, near, test))
            elif name.endswith(".py") and near is not None:
                found.append((promise, near, ""))
    return found


def test_every_test_that_the_page_cites_is_there() -> None:
    rows = cited()
    assert len(rows) > 80
    missing = [
        (promise, file.name, test)
        for promise, file, test in rows
        if test and not re.search(rf"^\s*(async )?def {test}\b", file.read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_promise_cites_a_test_or_a_command() -> None:
    for row in PAGE.splitlines():
        if row.startswith("| ") and not row.startswith(("| promise", "| ---")):
            assert re.search(r"test_|`make |try-offline|the same", row.rpartition(" | ")[2]), row
