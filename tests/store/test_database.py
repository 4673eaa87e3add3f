"""PostgreSQL that hangs, that we leave hanging, or that is to be asked for TLS."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.database import Database
from app.store.errors import DatabaseUnavailable

Use = Callable[[Database], Awaitable[None]]


def run(url: str, use: Use, patience: float | None = None) -> None:
    async def inside() -> None:
        database = Database(url, pool=3, patience=patience)
        try:
            await use(database)
        finally:
            await database.close()

    asyncio.run(inside())


@asynccontextmanager
async def hung(connection: AsyncConnection) -> AsyncIterator[None]:
    """The server's end of this session answers no more."""
    pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("moment", ["statement", "commit", "roll back"])
def test_a_session_that_hangs_is_given_up_in_time(database_url: str, moment: str) -> None:
    async def use(database: Database) -> None:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction() as connection:
                    await stack.enter_async_context(hung(connection))
                    if moment == "statement":
                        await connection.execute(text("SELECT 1"))
                    if moment == "roll back":
                        raise ValueError("a refusal of ours")
        assert 2 < time.monotonic() - began < 3.5

    run(database_url, use)


def test_a_load_whose_session_hangs_is_given_up_too(database_url: str) -> None:
    async def use(database: Database) -> None:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            with pytest.raises(DatabaseUnavailable):
                async with database.snapshot() as connection:
                    await stack.enter_async_context(hung(connection))
                    await connection.execute(text("SELECT 1"))
        assert time.monotonic() - began < 5

    run(database_url, use, patience=0.5)


def test_a_single_reading_whose_session_hangs_is_given_up_and_the_next_gets_another(
    database_url: str,
) -> None:
    async def use(database: Database) -> None:
        [[pid]] = await database.fetch("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(DatabaseUnavailable):
                await database.fetch("SELECT 1", patience=0.2)
            [[other]] = await database.fetch("SELECT pg_backend_pid()")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert other != pid

    run(database_url, use)


def test_a_server_that_ended_every_session_costs_nobody_an_error(database_url: str) -> None:
    async def pids(database: Database) -> set[int]:
        [[reader]] = await database.fetch("SELECT pg_backend_pid()")
        async with database.transaction() as connection:
            writer = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        return {reader, writer}

    async def use(database: Database) -> None:
        before = await pids(database)
        end = "SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::int[]) AS pid"
        stranger = await database.listen()
        await stranger.execute(end, list(before))
        await stranger.close()
        assert not before & await pids(database)

    run(database_url, use)


def test_a_lock_that_we_leave_behind_is_freed_and_those_who_wait_give_up(
    database_url: str,
) -> None:
    async def use(database: Database) -> None:
        lock = text("SELECT pg_advisory_xact_lock(1)")
        async with AsyncExitStack() as stack:
            silent = await stack.enter_async_context(database.engine.connect())
            await silent.execute(lock)  # and nothing more, as if we had vanished
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction(60) as connection:
                    await connection.execute(lock)
            assert time.monotonic() - began < 5
            await asyncio.sleep(1)
            async with database.transaction() as connection:
                await connection.execute(lock)
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction():
                    await silent.execute(text("SELECT 1"))
            await silent.invalidate()

    run(database_url, use)


@pytest.mark.parametrize("way", ["pool", "listen"])
def test_tls_to_postgresql_is_asked_for_where_the_address_says_so(way: str) -> None:
    """A server that speaks no TLS is refused; nothing is sent to it in plain."""
    heard = bytearray()

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                heard.extend(peer.recv(100))
                peer.sendall(b"N")  # "no TLS here"
                heard.extend(peer.recv(100))

    async def work(port: int) -> None:
        url = f"postgresql://rollcall:hidden@127.0.0.1:{port}/x?sslmode=require"
        database = Database(url, pool=2)
        try:
            with pytest.raises(DatabaseUnavailable):
                if way == "listen":
                    await database.listen()
                async with database.transaction():
                    pass
        finally:
            await database.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        asyncio.run(work(listener.getsockname()[1]))
    assert heard == bytes.fromhex("00000008 04d2162f")  # SSLRequest, and not a word more
