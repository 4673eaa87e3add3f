"""Whatever is enrolled, deleted, restarted and searched in any order: the index of every process
answers as float64 brute force over what PostgreSQL should hold."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.gallery.search import Searcher
from app.store import change as changes
from app.store import collections, history
from app.store.change import changing, lock_or_make
from app.store.database import Database
from app.store.persons import NewPerson
from app.sync.follow import Sync
from app.types import Box, Face, Floats, Quality
from tests.service import VAULT

DIMENSION = 8
MODEL = "0123456789abcdef"
NAME = "people"
TIE = 1e-6

FACE = Face(
    Box(0, 0, 10, 10),
    np.zeros((5, 2), np.float32),
    0.9,
    Quality(10, 20, 0.5, 0, 0, 0, 0.9),
    np.zeros((112, 112, 3), np.uint8),
)


def vectors(seed: int, rows: int) -> Floats:
    """Unit vectors float32[rows, D]; few seeds, so that equal and near ones are common."""
    raw = np.random.default_rng(seed).normal(size=(rows, DIMENSION))
    raw[:, 0] += 2
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


class Replica:
    """The parts of a process that keep and search an index."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url, pool=4, vault=VAULT)
        self.sync = Sync(
            self.database,
            Searcher(),
            snapshots=folder,
            snapshot_interval=3600,
            poll_interval=0.05,
            changes_kept=100_000,
            idempotency_hours=24,
        )
        self.sync.start()

    async def stop(self) -> None:
        await self.sync.stop()
        await self.database.close()


def machine_of(server: str) -> type[RuleBasedStateMachine]:
    class Installation(RuleBasedStateMachine):
        """Two replicas on one database, and a dictionary that knows the truth."""

        persons: Bundle[UUID] = Bundle("persons")

        @initialize()
        def begin(self) -> None:
            self.runner = asyncio.Runner()
            self.folder = TemporaryDirectory()
            self.name = f"oracle_{uuid4().hex[:12]}"
            self.runner.run(self._sql(f"CREATE DATABASE {self.name} TEMPLATE rollcall_template"))
            self.truth: dict[UUID, dict[UUID, Floats]] = {}
            self.revision = 0
            self.replicas = [self._start(number) for number in range(2)]

        def _start(self, number: int) -> Replica:
            async def start() -> Replica:
                folder = Path(self.folder.name) / str(number)
                return Replica(server.format(self.name), folder)

            return self.runner.run(start())

        async def _sql(self, statement: str) -> None:
            connection = await asyncpg.connect(server.format("postgres"))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        async def _enrol(self, through: Replica, seed: int, rows: int, known: UUID | None) -> UUID:
            embeddings = vectors(seed, rows)
            async with changing(through.database, lock_or_make(NAME)) as change:
                person = known or await change.add_person(NewPerson())
                faces = await change.add_faces(person, MODEL, [FACE] * rows, embeddings)
            await through.sync.applied(change)
            assert change.revision == self.revision + 1
            self.revision += 1
            self.truth.setdefault(person, {}).update(zip(faces, embeddings, strict=True))
            return person

        @rule(
            target=persons, which=st.integers(0, 1), seed=st.integers(0, 9), rows=st.integers(1, 4)
        )
        def enrol(self, which: int, seed: int, rows: int) -> UUID:
            return self.runner.run(self._enrol(self.replicas[which], seed, rows, None))

        @rule(which=st.integers(0, 1), person=persons, seed=st.integers(0, 9))
        def add_a_face(self, which: int, person: UUID, seed: int) -> None:
            self.runner.run(self._enrol(self.replicas[which], seed, 1, person))

        @rule(which=st.integers(0, 1), person=consumes(persons))
        def delete_person(self, which: int, person: UUID) -> None:
            async def work() -> None:
                through = self.replicas[which]
                lock = changes.lock_of_person(person)
                async with changing(through.database, lock) as change:
                    await change.remove_person(person)
                await through.sync.applied(change)

            self.runner.run(work())
            self.revision += 1
            del self.truth[person]

        @rule(which=st.integers(0, 1), person=persons, pick=st.integers(0, 9))
        def delete_face(self, which: int, person: UUID, pick: int) -> None:
            faces = sorted(self.truth[person])
            if not faces:
                return
            face = faces[pick % len(faces)]

            async def work() -> None:
                through = self.replicas[which]
                lock = changes.lock_of_face(face)
                async with changing(through.database, lock) as change:
                    await change.remove_face(face)
                await through.sync.applied(change)

            self.runner.run(work())
            self.revision += 1
            del self.truth[person][face]

        @rule(which=st.integers(0, 1), person=persons, other=consumes(persons))
        def merge(self, which: int, person: UUID, other: UUID) -> None:
            if person not in self.truth or other == person:
                return  # drawn twice, or consumed by another rule of this step

            async def work() -> None:
                through = self.replicas[which]
                lock = changes.lock_of_person(person)
                async with changing(through.database, lock) as change:
                    await change.merge_person(other, person)
                await through.sync.applied(change)

            self.runner.run(work())
            self.revision += 1
            self.truth[person] |= self.truth.pop(other)

        @rule(which=st.integers(0, 1), source=persons, to=persons, pick=st.integers(0, 9))
        def move_a_face(self, which: int, source: UUID, to: UUID, pick: int) -> None:
            faces = sorted(self.truth[source])
            if not faces:
                return
            face = faces[pick % len(faces)]

            async def work() -> None:
                through = self.replicas[which]
                lock = changes.lock_of_face(face)
                async with changing(through.database, lock) as change:
                    await change.move_faces([face], to)
                await through.sync.applied(change)

            self.runner.run(work())
            self.revision += 1
            self.truth[to][face] = self.truth[source].pop(face)

        @rule(which=st.integers(0, 1), politely=st.booleans())
        def restart(self, which: int, politely: bool) -> None:
            """With a snapshot where it had time to write one, without where it had not."""

            async def stop(replica: Replica) -> None:
                if politely:
                    await replica.stop()
                else:
                    await replica.sync.halt()
                    await replica.database.close()

            self.runner.run(stop(self.replicas[which]))
            self.replicas[which] = self._start(which)

        @rule(which=st.integers(0, 1), kept=st.integers(0, 3))
        def trim_the_log(self, which: int, kept: int) -> None:
            async def work() -> None:
                async with self.replicas[which].database.transaction() as connection:
                    await history.trim(connection, kept)

            self.runner.run(work())

        @rule(which=st.integers(0, 1), seed=st.integers(0, 9), top=st.integers(1, 6))
        def search(self, which: int, seed: int, top: int) -> None:
            if not self.revision:
                return
            probe = vectors(seed + 100, 1)

            async def work() -> Any:
                sync = self.replicas[which].sync
                while not sync.loaded:
                    await asyncio.sleep(0.01)
                view = await sync.view(NAME, self.revision)
                return view, await sync.search([view], probe, top)

            view, [found] = self.runner.run(work())
            assert view.revision == self.revision
            best = {
                person: max(float(probe[0].astype(np.float64) @ v.astype(np.float64)) for v in own)
                for person, faces in self.truth.items()
                if (own := list(faces.values()))
            }
            assert view.size == sum(len(faces) for faces in self.truth.values())
            assert len(found) == min(top, len(best))
            expected = sorted(best.values(), reverse=True)
            for candidate, similarity in zip(found, expected, strict=False):
                assert candidate.similarity == pytest.approx(similarity, abs=TIE)
                assert candidate.similarity == pytest.approx(best[candidate.person_id], abs=TIE)
                assert candidate.face_id in self.truth[candidate.person_id]
            assert len({candidate.person_id for candidate in found}) == len(found)

        @invariant()
        def revisions_have_no_gap(self) -> None:
            async def work() -> int:
                async with self.replicas[0].database.transaction() as connection:
                    collection = await collections.find(connection, NAME)
                    return 0 if collection is None else collection.position.revision

            assert self.runner.run(work()) == self.revision

        def teardown(self) -> None:
            if not hasattr(self, "runner"):
                return
            for replica in self.replicas:
                self.runner.run(replica.stop())
            self.runner.run(self._sql(f"DROP DATABASE {self.name} WITH (FORCE)"))
            self.runner.close()
            self.folder.cleanup()

    return Installation


def test_search_equals_brute_force_whatever_happened_before(postgres: str) -> None:
    run_state_machine_as_test(
        machine_of(postgres),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
