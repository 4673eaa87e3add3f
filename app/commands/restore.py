"""`rollcall restore`: a backup into an empty installation."""

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path

from app.commands.parsing import Commands, add_command, as_json
from app.commands.showing import print_json
from app.errors import CannotStart
from app.opening import open_database
from app.settings import Settings
from app.store import backup, backup_manifest, erasures, vaultkeys
from app.store.backup_manifest import BackupManifest
from app.store.database import Database
from app.store.erasures import Repeated
from app.vision.pack import find_pack, read_pack


class SecretDoesNotFit(CannotStart):
    """The restored templates were sealed under another root secret than the one that is given."""

    code = "secret_does_not_fit"


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "restore",
        "fill an empty database from a backup",
        description="Fill an empty database from a backup, after checking its hashes, and check "
        "what came in. The service must be stopped.",
        example="rollcall restore /backups/2026-11-23 --erasures /logs/audit.jsonl",
    )
    command.add_argument("folder", type=Path, help="what `rollcall backup` wrote")
    command.add_argument(
        "--erasures",
        type=Path,
        metavar="FILE",
        help="the access log (`rollcall audit export FILE`): who was erased since the backup "
        "is erased again",
    )
    as_json(command)
    command.set_defaults(run=lambda asked, settings: asyncio.run(_restore(asked, settings)))


async def _restore(asked: argparse.Namespace, settings: Settings) -> None:
    """Raises RestoreRefused, CannotStart, DatabaseUnavailable."""
    folder: Path = asked.folder
    log: Path | None = asked.erasures
    manifest = await asyncio.to_thread(backup_manifest.read, folder)
    entries = None if log is None else erasures.read(log)
    async with open_database(settings) as database:
        await backup.restore(database, folder / backup_manifest.DUMP, manifest.state)
        again = None if entries is None else await erasures.repeat(database, entries)
        unopened = await _try_secret(database)
    upcoming = _next(settings, folder, manifest)
    if asked.json:
        state = manifest.state.model_dump(mode="json")
        erased = None if again is None else asdict(again)
        print_json({"state": state, "erased_again": erased, "next": upcoming})
    else:
        _tell(manifest, again, upcoming)
    if unopened is not None:
        raise SecretDoesNotFit(f"Everything is restored, but: {unopened.detail}")


def _tell(manifest: BackupManifest, again: Repeated | None, upcoming: list[str]) -> None:
    for each in manifest.state.collections:
        print(
            f"collection '{each.name}': revision {each.revision}, {each.persons} persons, "
            f"{each.templates} templates, as the backup says"
        )
    if again is not None:
        print(
            f"erased again: {again.persons} persons, {again.faces} faces, "
            f"{again.collections} collections"
        )
    else:
        print(
            f"WHO WAS ERASED AFTER {manifest.state.at} IS BACK. If an access log reaches further: "
            "restore once more into an empty database, with --erasures."
        )
    for line in upcoming:
        print(line)


async def _try_secret(database: Database) -> CannotStart | None:
    """Why the root secret of these settings does not open the keys that came in, if it does not."""
    try:
        async with database.snapshot() as connection:
            await vaultkeys.require_openable(connection)
    except CannotStart as reason:
        return reason
    return None


def _next(settings: Settings, folder: Path, manifest: BackupManifest) -> list[str]:
    """What is left to do, a sentence each."""
    here = set()
    said = []
    for name in (settings.pack, *settings.extra_packs):
        try:
            here.add(read_pack(find_pack(name, settings.packs_dir)).model)
        except CannotStart as error:
            said.append(f"pack '{name}': {error.detail}")
    models = {each.model for each in manifest.state.collections if each.model}
    for pack in manifest.packs:
        if pack.model in models - here:
            said.append(
                f"next: name {folder / pack.folder} in ROLLCALL_PACK or ROLLCALL_EXTRA_PACKS"
            )
    if unknown := models - here - {pack.model for pack in manifest.packs}:
        said.append(
            f"next: find the packs of models {', '.join(sorted(unknown))}; none is in the backup"
        )
    said.append(
        "next: start the service, with the root secret of these settings. Indexes and snapshots "
        "are made anew by themselves."
    )
    return said
