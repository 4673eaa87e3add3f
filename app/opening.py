"""The way to the database that the settings name, with its vault: of the service and of commands.

Apart from `app.main`, so that a command that changes a row loads neither models nor HTTP.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from app.errors import CannotStart
from app.settings import Settings, is_loopback
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres, owning
from app.vault import Vault, read_secret, secret_of_installation


@contextlib.asynccontextmanager
async def join_database(settings: Settings) -> AsyncIterator[Database]:
    """As `open_database`, but beside a running service of the same data directory: on its server.

    For commands that change rows only. Raises CannotStart.
    """
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    url = None if settings.database_url is not None else await postgres.running_url()
    if url is None:
        async with open_database(settings) as database:
            yield database
        return
    database = Database(url, pool=settings.database_pool, vault=open_vault(settings))
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database that was named, or one of our own in the data directory, with its vault.

    Raises CannotStart.
    """
    _make_private(settings.data_dir)
    vault = open_vault(settings)
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            stack.enter_context(owning(settings.data_dir))
            postgres = EmbeddedPostgres(settings.data_dir / "postgres")
            url = await stack.enter_async_context(postgres.running())
        database = Database(url, pool=settings.database_pool, vault=vault)
        stack.push_async_callback(database.close)
        yield database


def open_vault(settings: Settings) -> Vault:
    """The vault of the secrets that are given, or of the one in the data directory.

    Only a service that nobody else reaches, on a database that nobody else uses, makes a secret of
    its own: elsewhere a second one would be made unseen. Raises CannotStart.
    """
    if settings.secret is not None:
        primary = read_secret(settings.secret.get_secret_value(), "ROLLCALL_SECRET")
    elif settings.database_url is None and is_loopback(settings.host):
        path = settings.data_dir / "secret"
        primary = read_secret(secret_of_installation(path), str(path))
    else:
        raise CannotStart(
            "ROLLCALL_SECRET is not set. It opens the keys of everything that is enrolled, so a "
            "service with a named database, or beyond loopback, needs to be given it. Make one "
            "with: openssl rand -hex 32. Keep a copy: without it nothing can be read."
        )
    others = [
        read_secret(each.get_secret_value(), f"ROLLCALL_OTHER_SECRETS[{number}]")
        for number, each in enumerate(settings.other_secrets)
    ]
    return Vault(primary, others)


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"ROLLCALL_DATA_DIR {folder} cannot be made: {error.strerror}.") from None
