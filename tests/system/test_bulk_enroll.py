"""A whole list through `rollcall enroll`, killed three times: exactly the listed persons.

No service runs: the command opens the application for itself, so that each kill -9 takes everything
with it but PostgreSQL.
"""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.store.embedded import EmbeddedPostgres
from tests.service import ROOT, environment

SHARES = (0.2, 0.45, 0.7)
"""Of the list, enrolled when the command is killed."""


@pytest.mark.long
def test_the_enrol_list_of_lfw_killed_three_times_ends_with_exactly_the_listed_persons(
    research_data: Path, tmp_path: Path
) -> None:
    lfw = research_data / "lfw"
    table = lfw / "identify" / "enrol.csv"
    with table.open() as rows:
        listed = [(row["person"], row["image"]) for row in csv.DictReader(rows)]
    postgres = EmbeddedPostgres(tmp_path / "data" / "postgres")
    try:
        for share in SHARES:
            run = start(tmp_path, table, lfw / "images")
            asyncio.run(wait_for(postgres, run, round(share * len(listed))))
            os.killpg(run.pid, signal.SIGKILL)  # its decoders too; PostgreSQL has its own group
            run.communicate()
        began = time.monotonic()
        last = start(tmp_path, table, lfw / "images")
        out, err = last.communicate(timeout=900)
        told = json.loads(out)
        print(
            f"\nlast run: {told['enrolled']} enrolled, {told['already_there']} already there, "
            f"{told['faces_per_second']} faces/s, {time.monotonic() - began:.0f} s in all"
        )
        refused = {row["path"] for row in told["refused"]}
        assert last.returncode == (3 if refused else 0), err
        assert told["already_there"] >= SHARES[-1] * len(listed)
        assert told["photos"] == len(listed)
        expected = [pair for pair in listed if pair[1] not in refused]
        assert len(refused) <= 0.02 * len(listed), told["refused"]
        faces = json.loads(typed(tmp_path, "faces", "list", "--collection", "lfw", "--json"))
        persons = json.loads(typed(tmp_path, "persons", "list", "--collection", "lfw", "--json"))
    finally:
        asyncio.run(postgres.stop())
    names = {each["id"]: each["external_id"] for each in persons}
    assert len(persons) == len(set(names.values())) == len({person for person, _ in expected})
    assert Counter((names[each["person_id"]], each["reference"]) for each in faces) == Counter(
        expected
    )


def settings(folder: Path) -> dict[str, str]:
    return environment({"ROLLCALL_DATA_DIR": str(folder / "data")})


def start(folder: Path, table: Path, root: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable, "-m", "app", "enroll", table, "--root", root, "--collection", "lfw",
            "--face", "largest", "--on-duplicate", "allow", "--json",
        ],
        cwd=ROOT,
        env=settings(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def typed(folder: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env=settings(folder),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


async def wait_for(
    postgres: EmbeddedPostgres, run: "subprocess.Popen[Any]", faces: int, patience: float = 600.0
) -> None:
    """Until so many faces are committed, as PostgreSQL itself says."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if run.poll() is not None:
            raise AssertionError(f"it ended before it could be killed: {run.communicate()}")
        if await committed(postgres) >= faces:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{faces} faces were not enrolled in {patience:g} s")


async def committed(postgres: EmbeddedPostgres) -> int:
    try:
        connection = await asyncpg.connect(postgres.url, timeout=2)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM faces"))
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return 0  # it starts, or has no tables yet
