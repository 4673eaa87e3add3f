"""Builds the house: the one place that knows every part and wires them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from app import __version__, doors, failpoints, memory
from app.api import (
    audit,
    collections,
    console,
    detect,
    enroll,
    health,
    identify,
    keys,
    limits,
    metrics,
    models,
    persons,
    problems,
    search,
    transfer,
    verify,
)
from app.api.door import Door
from app.api.intake import Intake
from app.arrangement import Plan, plan, this_machine
from app.errors import CannotStart, RollcallError
from app.gallery.kernels import CpuKernel, GpuKernel, Kernel
from app.gallery.search import Searcher
from app.gallery.storage import Storage
from app.opening import open_database
from app.settings import Settings
from app.store import collections as collections_store
from app.store import durability, idempotency, migrate, resealing, roles, vaultkeys
from app.store import keys as keys_store
from app.store.database import FOLLOWING, Database
from app.store.errors import DatabaseRefuses, DatabaseUnavailable
from app.sync.access import Access
from app.sync.follow import Sync
from app.sync.journal import Journal
from app.usecases import retention
from app.usecases.rooms import Rooms
from app.vision.opening import Opening, open_visions
from app.vision.pack import find_pack

log = structlog.get_logger()

# Followers read while requests hold connections and wait for them: they need some of their own.
_SYNC_POOL: Final = 4

_DESCRIPTION: Final = """\
Who is this, among the people I have enrolled? Enrol people from photos, verify one against one,
identify one among many. Images are JPEG, PNG or WebP, sent as files of a form or as base64 in
JSON. Errors are problem details (RFC 9457) with a stable `code`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application, not yet started: packs, database and index come up in its lifespan."""
    failpoints.arm(settings.failpoints, settings.host)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            app.state.rooms = rooms = await _furnish(settings, stack)
            registry.register(metrics.House(rooms))
            warming = asyncio.create_task(_warm_up(app, rooms))
            stack.callback(warming.cancel)
            sweeping = asyncio.create_task(retention.keep_sweeping(rooms))
            stack.callback(sweeping.cancel)
            log.info(
                "started",
                version=__version__,
                pack=rooms.default.pack.name,
                model=rooms.default.model,
                providers=list(rooms.default.providers),
            )
            yield

    app = FastAPI(
        title="Rollcall",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry = registry
    app.state.warm = False
    for room in (
        enroll,
        verify,
        identify,
        detect,
        collections,
        transfer,
        search,
        persons,
        models,
        limits,
        keys,
        audit,
        health,
    ):
        app.include_router(room.router, responses=problems.RESPONSES)
    app.include_router(console.router(console=settings.console))
    foreign = doors.opened(settings.doors)
    for door in foreign:
        app.include_router(door.router, include_in_schema=False)
    problems.install(app)

    def admit() -> None:
        app.state.rooms.admit()  # which stand only once the lifespan has begun

    app.add_middleware(
        Door,
        requests=metrics.Requests(registry),
        intake=Intake(settings, lambda scope: sum(door.images(scope) for door in foreign)),
        admit=admit,
        keyless=not settings.keys_required,
        refuse=doors.refusing(foreign),
    )
    return app


async def _furnish(settings: Settings, stack: contextlib.AsyncExitStack) -> Rooms:
    """Bring every part up, in the order in which each needs the others; undone in reverse."""
    machine = this_machine()
    arranged = plan(
        machine,
        settings.device,
        settings.search_device,
        workers=settings.workers,
        embed_batch=settings.embed_batch,
    )
    log.info("arranged", cores=machine.cores, quota=machine.quota, **arranged.facts())
    names = (settings.pack, *settings.extra_packs)
    packs = [find_pack(name, settings.packs_dir) for name in names]
    visions = await stack.enter_async_context(open_visions(packs, _opening(settings, arranged)))
    storage, kernel = _storage(settings), _kernel(settings)
    database = await stack.enter_async_context(open_database(settings))
    await _await_schema(settings, database)
    if not settings.migrate:
        await _warn_of_rights(database)
    async with database.transaction() as connection:
        if settings.database_url is None:  # the data directory is ours alone by now
            await idempotency.release_all(connection)
        await vaultkeys.require_openable(connection)
        pepper = await vaultkeys.secret_of(connection, keys_store.PURPOSE)
    following = Database(database.url, pool=_SYNC_POOL, vault=database.vault, patience=FOLLOWING)
    stack.push_async_callback(following.close)
    sync = Sync(
        following,
        Searcher(
            kernel,
            threads=arranged.search_threads,
            at_once=arranged.search_at_once,
            depth=settings.queue_depth,
            patience=settings.queue_seconds,
            deadline=settings.deadline,
        ),
        storage=storage,
        snapshots=settings.data_dir / "snapshots",
        snapshot_interval=settings.snapshot_interval,
        poll_interval=settings.poll_interval,
        changes_kept=settings.changes_kept,
        idempotency_hours=settings.idempotency_hours,
    )
    sync.start()
    stack.push_async_callback(sync.stop)
    access = Access(
        following,
        pepper,
        poll_interval=settings.poll_interval,
        verify_failures=settings.verify_failures,
    )
    await access.start()
    stack.push_async_callback(access.stop)
    if settings.keys_required and not len(access):
        log.warning("no_keys", hint="python -m app keys create --name admin --scope admin")
    journal = Journal(following, settings.data_dir / "audit")
    journal.start()
    stack.push_async_callback(journal.stop)
    sealing = asyncio.create_task(_seal_what_is_plain(database))
    stack.push_async_callback(_cancelled, sealing)
    by_model = {vision.model: vision for vision in visions}
    return Rooms(settings, arranged, database, sync, access, journal, by_model, visions[0])


def _storage(settings: Settings) -> Storage:
    """What galleries are made of. Raises CannotStart for what this installation cannot do."""
    form, two_stages = settings.gallery_storage, settings.search == "two_stage"
    if settings.search_device == "cuda" and (form != "float32" or two_stages):
        raise CannotStart(
            "A GPU searches float32 rows in one stage. Leave ROLLCALL_GALLERY_STORAGE at float32 "
            "and ROLLCALL_SEARCH at exact, or set ROLLCALL_SEARCH_DEVICE=cpu."
        )
    return Storage(form, settings.data_dir / "scratch", codes=two_stages)


def _kernel(settings: Settings) -> Kernel:
    if settings.search_device == "cuda":
        return GpuKernel()
    return CpuKernel(settings.search_shortlist if settings.search == "two_stage" else 0)


def _opening(settings: Settings, arranged: Plan) -> Opening:
    return Opening(
        device=settings.device,
        limits=settings.images,
        seconds=settings.decode_seconds,
        workers=arranged.vision_workers,
        embed_batch=arranged.embed_batch,
        depth=settings.queue_depth,
        patience=settings.queue_seconds,
        deadline=settings.deadline,
    )


async def _seal_what_is_plain(database: Database) -> None:
    """Seal templates of an older version, and end rotations that were interrupted."""
    async with database.transaction() as connection:
        homes = await collections_store.heads(connection)
    for home in homes:
        try:
            done = await resealing.reseal(database, home.id)
        except RollcallError as reason:  # the next start tries again; what is plain is readable
            log.warning("sealing.put_off", collection_id=str(home.id), reason=reason.code)
        else:
            if done.templates or done.crops:
                log.info("sealed", collection_id=str(home.id), templates=done.templates)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def _warm_up(app: FastAPI, rooms: Rooms) -> None:
    for vision in rooms.visions.values():
        await vision.warm_up()
    await asyncio.to_thread(memory.settle)
    app.state.warm = True


async def _await_schema(settings: Settings, database: Database) -> None:
    """Wait until PostgreSQL answers, then bring its schema up to date or check that it is.

    Raises CannotStart, also where PostgreSQL is set to lose what it acknowledges.
    """
    migration = migrate.upgrade if settings.migrate else migrate.require_current

    async def step(database: Database) -> None:
        await durability.require_at_start(database)
        await migration(database)

    give_up = asyncio.get_running_loop().time() + settings.database_wait
    while True:
        try:
            return await step(database)
        except DatabaseRefuses as refusal:
            raise CannotStart(f"{refusal.detail} Check ROLLCALL_DATABASE_URL.") from None
        except DatabaseUnavailable as error:
            if asyncio.get_running_loop().time() >= give_up:
                raise CannotStart(
                    f"PostgreSQL did not answer for {settings.database_wait:g} s "
                    f"({type(error.__cause__).__name__}). Check ROLLCALL_DATABASE_URL and that "
                    "the server runs; ROLLCALL_DATABASE_WAIT makes this wait longer."
                ) from None
            log.info("waiting_for_database")
            await asyncio.sleep(1.0)


async def _warn_of_rights(database: Database) -> None:
    """A service that does not migrate needs no right to: say so where it has one."""
    async with database.transaction() as connection:
        ways = await roles.ways_to_change_schema(connection)
    if ways:
        log.warning(
            "database.role_may_change_schema",
            role=" and ".join(ways),
            do="give the service a role that owns nothing (docker/db-init.sh)",
        )
