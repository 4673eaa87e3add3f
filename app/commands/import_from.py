"""`rollcall import-from`: people who were enrolled elsewhere, resumable, with a report."""

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from app.commands.enroll import add_bulk_options, run_bulk
from app.commands.exits import DONE, Failed, Misused
from app.commands.parsing import Commands, add_command, add_group
from app.commands.service import add_service_options
from app.commands.showing import plain, print_json
from app.commands.sources.compreface import CompreFace
from app.commands.sources.insightface_server import Home, InsightFaceServer
from app.commands.sources.same_model import pack_of
from app.commands.template_transfer import run_transfer
from app.settings import Settings
from app.vision.pack import Pack, find_pack, read_pack

_KEY = "COMPREFACE_KEY"


def add(commands: Commands) -> None:
    family = add_group(
        commands,
        "import-from",
        "take over people from CompreFace or InsightFace Server; goes on where it was stopped",
        description="Takes over who is enrolled in another service. Run it again after Ctrl-C, a "
        "crash or a refusal: who is there is left alone, the rest is done. Folders of photos, as "
        "deepface and face_recognition have them, are taken by `rollcall enroll`.",
    )
    _add_compreface(family)
    _add_insightface_server(family)


def _add_compreface(family: Commands) -> None:
    command = add_command(
        family,
        "compreface",
        "a face collection of CompreFace, by its REST API",
        description="Fetches the image of every face of a recognition service and enrols it: its "
        "subject becomes the person's name and external_id. The service's key is read from "
        f"--source-key-file or {_KEY}. Status 3: some photos were refused.",
        example=f"{_KEY}=00000000-… rollcall import-from compreface http://compreface:8000 "
        "--collection staff --report refused.csv",
    )
    command.add_argument("source", metavar="URL", help="http://host:port of CompreFace")
    command.add_argument(
        "--source-key-file",
        type=Path,
        metavar="FILE",
        help=f"a file with the key of its recognition service (or {_KEY})",
    )
    _as_any_bulk(command)
    command.set_defaults(run=_from_compreface)


def _add_insightface_server(family: Commands) -> None:
    command = add_command(
        family,
        "insightface-server",
        "a collection of InsightFace Server, from its SQLite file",
        description="Reads insightface-server.db, which is not changed. Where a pack here is the "
        "very model that made them (the same files under the same contract), templates are taken "
        "as they are; else the cut-outs of faces are enrolled like photos, where they were saved. "
        "Templates need a key with the scopes admin and enroll, cut-outs one with enroll and read. "
        "Status 3: some faces were refused.",
        example="rollcall import-from insightface-server data/insightface-server.db "
        "--from staff --collection staff --report refused.csv",
    )
    command.add_argument("source", type=Path, metavar="FILE", help="insightface-server.db")
    command.add_argument(
        "--from", dest="home", metavar="ID", help="the collection there, where there are several"
    )
    command.add_argument(
        "--take",
        choices=("templates", "photos"),
        help="default: templates where a pack is the same model, else photos",
    )
    command.add_argument(
        "--pack",
        action="append",
        metavar="NAME",
        help="a pack that may be the same model (default: those of the settings)",
    )
    _as_any_bulk(command)
    command.set_defaults(run=_from_insightface_server)


def _as_any_bulk(command: argparse.ArgumentParser) -> None:
    add_bulk_options(command)
    # That every image shows one person was decided there.
    command.set_defaults(face="largest", on_duplicate="allow")
    command.add_argument(
        "--dry-run", action="store_true", help="look at the source, and send nothing"
    )
    add_service_options(command)


def _from_compreface(asked: argparse.Namespace, settings: Settings) -> int:
    """Raises Failed, NotNow, CannotStart."""
    with contextlib.closing(CompreFace(asked.source, _source_key(asked.source_key_file))) as source:
        subjects, examples = source.subjects(), source.examples()
        faceless = sorted(set(subjects) - {example.subject for example in examples})
        if faceless and not asked.json:
            print(f"{len(faceless)} subjects there have no face, and are left out")
        if asked.dry_run:
            return _say(
                asked,
                {"subjects": len(subjects), "faces": len(examples), "without_faces": faceless},
            )
        return run_bulk(asked, settings, source.photos(examples), total=len(examples))


def _from_insightface_server(asked: argparse.Namespace, settings: Settings) -> int:
    """Raises Failed, NotNow, CannotStart."""
    with contextlib.closing(InsightFaceServer(asked.source)) as source:
        home = _chosen(source.homes(), asked.home)
        pack = pack_of(home, _packs(asked.pack, settings))
        if asked.take == "templates" and pack is None:
            raise Failed(
                "model_differs",
                f"No pack here made the templates of '{home.id}' (model {home.model}, "
                f"{home.dimension} numbers). Name a folder with the same files by --pack, or "
                "take photos.",
            )
        by_template = pack is not None and asked.take != "photos"
        if asked.dry_run:
            return _say(
                asked,
                {
                    "persons": home.persons,
                    "faces": home.faces,
                    "with_cut_out": home.crops,
                    "model": home.model,
                    "same_model_as": None if pack is None else pack.name,
                    "take": "templates" if by_template else "photos",
                },
            )
        if pack is not None and by_template:
            return run_transfer(asked, settings, source, home, pack.model)
        return run_bulk(asked, settings, source.photos(home), total=home.faces)


def _chosen(homes: Sequence[Home], named: str | None) -> Home:
    known = ", ".join(f"{home.id} ({home.faces} faces)" for home in homes) or "none"
    if named is None:
        if len(homes) != 1:
            raise Misused(f"--from: name a collection. There are: {plain(known)}.")
        return homes[0]
    for home in homes:
        if named in (home.id, home.name):
            return home
    raise Failed("source_unknown", f"There is no collection '{named}'. There are: {plain(known)}.")


def _packs(named: list[str] | None, settings: Settings) -> list[Pack]:
    names = named or [settings.pack, *settings.extra_packs]
    return [read_pack(find_pack(name, settings.packs_dir)) for name in names]


def _source_key(file: Path | None) -> str:
    """Raises Failed."""
    if file is None:
        key = os.environ.get(_KEY, "")
        if not key:
            raise Misused(f"Put the key of the recognition service into {_KEY}, or name a file.")
        return key
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Failed("key_file_unusable", f"{file} cannot be read: {error}.") from None


def _say(asked: argparse.Namespace, found: dict[str, object]) -> int:
    if asked.json:
        print_json({"collection": asked.collection, **found})
    else:
        for name, value in found.items():
            shown = len(value) if isinstance(value, list) else value
            print(f"{name.replace('_', ' '):14} {plain(str(shown))}")
        print("Nothing was sent (--dry-run).")
    return DONE
