"""`rollcall packs`, or `python -m app.packs`: which packs are here, and fetching more."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, Final

from app.commands.progress import Line, duration
from app.errors import CannotStart
from app.vision.pack import (
    INSIGHTFACE_DETECTORS,
    INSIGHTFACE_RECOGNIZERS,
    Pack,
    find_pack,
    pack_folders,
    read_pack,
)

PACKS_DIR: Final = Path(__file__).parent.parent / "models" / "packs"
RELEASE: Final = "https://github.com/deepinsight/insightface/releases/download/v0.7/{name}.zip"
KNOWN: Final = ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")
MAX_UNPACKED: Final = 2_000_000_000
PIECE: Final = 1 << 18
TIMEOUT: Final = 30.0

WARNING: Final = """\
The weights of '{name}' are InsightFace's. They are available for NON-COMMERCIAL RESEARCH PURPOSES
ONLY, whatever the licence of the code that runs them. For any other use ask InsightFace for a
licence: https://github.com/deepinsight/insightface"""


class PullFailed(CannotStart):
    """A pack could not be fetched; nothing was left behind."""

    code = "pull_failed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if all went well, 1 with one line on stderr if not."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except CannotStart as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; nothing was left behind", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.packs",
        description="Model packs: a detector, a recognizer, their contract and calibration.",
    )
    parser.add_argument(
        "--packs-dir",
        type=Path,
        default=Path(os.environ.get("ROLLCALL_PACKS_DIR", PACKS_DIR)),
        help="where packs are kept (default: ROLLCALL_PACKS_DIR, else %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, _, describe) in ACTIONS.items():
        describe(commands.add_parser(name, help=text))
    return parser


def _describe_list(parser: argparse.ArgumentParser) -> None:
    _may_be_json(parser)
    parser.set_defaults(run=_list)


def _describe_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a pack's name, or a folder")
    _may_be_json(parser)
    parser.set_defaults(run=_show)


def _describe_pull(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=", ".join(KNOWN))
    parser.add_argument(
        "--accept-non-commercial",
        action="store_true",
        help="say beforehand that the use is non-commercial research",
    )
    parser.add_argument("--url", help="fetch this zip file instead of InsightFace's release")
    parser.set_defaults(run=_pull)


def _may_be_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


ACTIONS: Final[dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]]] = {
    "list": ("the packs that are here", "packs list", _describe_list),
    "show": ("what a pack is made of", "packs show starter", _describe_show),
    "pull": (
        "fetch an InsightFace pack (weights: non-commercial research only)",
        "packs pull buffalo_l",
        _describe_pull,
    ),
}
"""What can be done with packs: said in a line, an example, and its options. `rollcall packs` has
the same. Each sets `run`, called with the parsed command line, of which `packs_dir` is part."""


def _list(asked: argparse.Namespace) -> int:
    folders = pack_folders(asked.packs_dir)
    if not folders and not asked.json:
        print(f"no packs in {asked.packs_dir}")
    faulty, facts = 0, []
    for folder in folders:
        try:
            pack = read_pack(folder)
        except CannotStart as error:
            faulty = 1
            facts.append({"pack": folder.name, "unusable": error.detail})
            if not asked.json:
                print(f"{folder.name:20} unusable: {error.detail}")
            continue
        facts.append({"folder": str(folder), **_facts(pack)})
        if not asked.json:
            calibrated = "calibrated" if pack.calibration else "no calibration"
            print(f"{folder.name:20} {pack.model}  {calibrated:15} weights: {_weights(pack)}")
    if asked.json:
        print(json.dumps(facts))
    return faulty


def _facts(pack: Pack) -> dict[str, Any]:
    """Of which `rollcall packs` makes JSON."""
    return {
        "pack": pack.name,
        "version": pack.version,
        "model": pack.model,
        "dimension": pack.recognizer.dimension,
        "licence": pack.licence,
        "detector": pack.detector.kind,
        "detector_licence": pack.detector.licence,
        "recognizer_licence": pack.recognizer.licence,
        "calibrated": pack.calibration is not None,
    }


def _show(asked: argparse.Namespace) -> int:
    pack = read_pack(find_pack(asked.name, asked.packs_dir))
    if asked.json:
        print(json.dumps({"folder": str(pack.folder), **_facts(pack)}))
        return 0
    detector, recognizer, contract = pack.detector, pack.recognizer, pack.recognizer.contract
    calibration = pack.calibration
    rows = {
        "pack": f"{pack.name} {pack.version} ({pack.format}) in {pack.folder}",
        "licence": pack.licence,
        "model": pack.model,
        "detector": f"{detector.kind}, {detector.path.name}, {detector.licence}",
        "recognizer": f"{recognizer.path.name}, {recognizer.dimension} numbers, "
        f"{recognizer.licence}",
        "input": f"{contract.size[0]}x{contract.size[1]} {contract.colour}, mean {contract.mean}, "
        f"std {contract.std}, {contract.alignment}, "
        f"{'with' if contract.flip_test else 'without'} flip test",
        "calibration": "none"
        if calibration is None
        else f"{calibration.subjects} subjects; FMR {calibration.least_fmr:g} to "
        f"{calibration.most_fmr:g}, FPIR up to {calibration.fpir.max_size:,} persons",
    }
    for name, value in rows.items():
        print(f"{name:12} {value}")
    return 0


def _weights(pack: Pack) -> str:
    return "; ".join(dict.fromkeys((pack.detector.licence, pack.recognizer.licence)))


def _pull(asked: argparse.Namespace) -> int:
    name, packs_dir = asked.name, asked.packs_dir
    if asked.url is None and name not in KNOWN:
        raise PullFailed(f"'{name}' is not known here. Known are {', '.join(KNOWN)}.")
    if PurePosixPath(name).name != name or name in (".", ".."):
        raise PullFailed(f"'{name}' is not a plain name.")
    target = packs_dir / name
    if target.exists():
        raise PullFailed(f"{target} is already there. Remove it first to fetch it anew.")
    print(WARNING.format(name=name))
    if not (asked.accept_non_commercial or _agrees()):
        raise PullFailed("nothing fetched. To accept the terms, add --accept-non-commercial.")
    packs_dir.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename: there is a whole pack or none.
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=packs_dir) as scratch:
        archive, folder = Path(scratch, "pack.zip"), Path(scratch, name)
        download(asked.url or RELEASE.format(name=name), archive)
        unpack(archive, folder)
        pack = read_pack(folder)
        folder.rename(target)
    print(f"{target} is ready: model {pack.model}, {pack.recognizer.dimension} numbers.")
    print(WARNING.format(name=name))
    print(f"Use it with ROLLCALL_PACK={name}.")
    return 0


def _agrees() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Is your use non-commercial research? Type yes: ").strip().lower() == "yes"


def download(url: str, file: Path) -> None:
    """Fetch `url` into `file`, with progress on stderr. Raises PullFailed."""
    if not url.startswith(("https://", "http://")):
        raise PullFailed(f"{url} is not an http address.")
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT) as answer,  # noqa: S310 (checked above)
            file.open("wb") as out,
        ):
            total = int(answer.headers.get("Content-Length") or 0)
            progress = Fetched(total)
            while piece := answer.read(PIECE):
                out.write(piece)
                progress.add(len(piece))
            progress.end()
            if total and progress.done < total:
                raise PullFailed(f"{url} ended after {progress.done:,} of {total:,} bytes.")
    except urllib.error.HTTPError as error:
        raise PullFailed(f"{url} answered {error.code} {error.reason}.") from None
    except urllib.error.URLError as error:
        raise PullFailed(
            f"{url} cannot be reached: {error.reason}. Check the network, or fetch the file "
            "elsewhere and unpack it into the packs folder."
        ) from None
    except (HTTPException, OSError) as error:
        raise PullFailed(f"{url} broke off: {error or type(error).__name__}.") from None


def unpack(archive: Path, folder: Path) -> None:
    """Take the ONNX files of an InsightFace pack out of `archive` into `folder`.

    Names are reduced to their last part, so that nothing is written elsewhere; whatever else lies
    in the archive stays there. Raises PullFailed if it is not such a pack.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [each for each in zipped.infolist() if each.filename.endswith(".onnx")]
            names = [PurePosixPath(each.filename).name for each in members]
            for patterns in (INSIGHTFACE_DETECTORS, INSIGHTFACE_RECOGNIZERS):
                if not any(PurePosixPath(n).match(pattern) for n in names for pattern in patterns):
                    raise PullFailed(f"The archive holds no {' or '.join(patterns)}.")
            if sum(each.file_size for each in members) > MAX_UNPACKED:
                raise PullFailed(f"The archive unpacks to more than {MAX_UNPACKED:,} bytes.")
            folder.mkdir()
            for member, name in zip(members, names, strict=True):
                with zipped.open(member) as source, (folder / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise PullFailed(f"The archive is damaged: {error}. Fetch it again.") from None


class Fetched:
    """Bytes so far, told on stderr with how long yet. `total` is 0 where nobody knows."""

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total
        self._began = time.monotonic()
        self._line = Line()

    def add(self, count: int) -> None:
        self.done += count
        if self._line.due:
            self._line.show(self._said())

    def end(self) -> None:
        self._line.end()
        print(self._said(), file=sys.stderr)

    def _said(self) -> str:
        speed = self.done / max(time.monotonic() - self._began, 1e-3)
        line = f"{self.done / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s"
        if not self._total:
            return line
        left = max(0.0, self._total - self.done) / max(speed, 1.0)
        return f"{min(1.0, self.done / self._total):4.0%}  {line}  ETA {duration(left)}"


if __name__ == "__main__":
    raise SystemExit(main())
