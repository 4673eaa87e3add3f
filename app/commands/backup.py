"""`rollcall backup`: the whole installation in a folder, while the service runs or not."""

import argparse
import asyncio
import shutil
from pathlib import Path

from app import __version__
from app.commands.parsing import Commands, add_command, as_json
from app.commands.showing import print_json
from app.opening import join_database
from app.settings import Settings
from app.store import backup, backup_manifest
from app.store.backup_manifest import BackupManifest, PackEntry
from app.store.errors import BackupFailed
from app.vision.pack import find_pack, read_pack


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "backup",
        "copy the database and the packs into a folder; the service may run",
        description="Copy the database and the packs into a new folder, and read the copy again. "
        "The service may run and write meanwhile. The root secret is not in it.",
        example="rollcall backup /backups/2026-11-23",
    )
    command.add_argument("folder", type=Path, help="a folder that is not there yet, or empty")
    as_json(command)
    command.set_defaults(run=lambda asked, settings: asyncio.run(_backup(asked, settings)))


async def _backup(asked: argparse.Namespace, settings: Settings) -> None:
    """Raises BackupFailed, CannotStart, DatabaseUnavailable."""
    folder: Path = asked.folder
    _require_database(settings)
    _make_empty(folder)
    packs = await asyncio.to_thread(_copy_packs, settings, folder)
    async with join_database(settings) as database:
        state = await backup.dump(database, folder / backup_manifest.DUMP)
    manifest = BackupManifest(
        rollcall=__version__,
        state=state,
        packs=packs,
        files=await asyncio.to_thread(backup_manifest.hashes, folder),
    )
    await asyncio.to_thread(backup_manifest.write, folder, manifest)
    missing = {each.model for each in state.collections if each.model} - {p.model for p in packs}
    if asked.json:
        told = manifest.model_dump(mode="json", exclude={"files"})
        print_json({"folder": str(folder), **told, "models_without_pack": sorted(missing)})
        return
    templates = sum(each.templates for each in state.collections)
    print(
        f"{folder}: {len(state.collections)} collections, {templates} templates, as of {state.at}."
    )
    print("Its files were read again and are what the manifest says.")
    if missing:
        print(
            f"NOT in it: the packs of models {', '.join(sorted(missing))}. Their collections "
            "cannot be asked without. Name the packs in ROLLCALL_EXTRA_PACKS and back up again."
        )
    print(
        "NOT in it: the root secret (ROLLCALL_SECRET, or the file `secret` in the data directory). "
        "Without it the templates cannot be read by anybody. Keep a copy of it elsewhere."
    )


def _require_database(settings: Settings) -> None:
    """Raises BackupFailed rather than make an empty one."""
    data = settings.data_dir / "postgres" / "data" / "PG_VERSION"
    if settings.database_url is None and not data.exists():
        raise BackupFailed(
            f"There is no database in {settings.data_dir}. Set ROLLCALL_DATA_DIR or "
            "ROLLCALL_DATABASE_URL as the service has it."
        )


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BackupFailed(f"{folder} is not empty. Name another folder.")
        folder.chmod(0o700)
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be made: {error.strerror}.") from None


def _copy_packs(settings: Settings, folder: Path) -> tuple[PackEntry, ...]:
    """Every pack that the settings name, in `packs/NUMBER-NAME`; its files as they are."""
    entries = []
    for number, name in enumerate((settings.pack, *settings.extra_packs)):
        pack = read_pack(find_pack(name, settings.packs_dir))
        into = f"packs/{number}-{pack.folder.name}"
        try:
            shutil.copytree(pack.folder, folder / into)
        except (OSError, shutil.Error) as error:
            raise BackupFailed(f"Pack {pack.folder} cannot be copied: {error}.") from None
        entries.append(
            PackEntry(folder=into, name=pack.name, version=pack.version, model=pack.model)
        )
    return tuple(entries)
