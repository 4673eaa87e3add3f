"""A pack: a folder with a detector, a recognizer, their contract and their calibration.

What is read here is checked here: after `read_pack` every file is there, has the hash that the
pack promises and carries its own weights.
"""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import ValidationError

from app.vision.calibration import Calibration, faults, read_calibration
from app.vision.errors import PackInvalid
from app.vision.manifest import Channels, Colour, DetectorEntry, Manifest, RecognizerEntry

if TYPE_CHECKING:
    from onnx import GraphProto

CALIBRATION: Final = "calibration.json"
CARD: Final = "MODEL_CARD.md"
NON_COMMERCIAL: Final = "non-commercial research purposes only (InsightFace)"
INSIGHTFACE_DETECTORS: Final = ("det_*.onnx", "scrfd_*.onnx")
INSIGHTFACE_RECOGNIZERS: Final = ("w600k_*.onnx", "glintr100.onnx")

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What happens to a crop before the recognizer sees it. Part of `model`."""

    size: tuple[int, int] = (112, 112)
    colour: Colour = "rgb"
    mean: Three
    std: Three
    alignment: str = "arcface-112"
    flip_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPart:
    path: Path
    sha256: str
    kind: str
    input_sizes: tuple[int, ...]
    score_threshold: float
    nms_threshold: float
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerPart:
    """`input` is the graph's input, `dimension` the D of an embedding."""

    path: Path
    sha256: str
    input: str
    dimension: int
    contract: Contract
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack as it was read. `model` is what templates are bound to."""

    folder: Path
    name: str
    version: str
    format: Literal["rollcall", "insightface"]
    licence: str
    model: str
    detector: DetectorPart
    recognizer: RecognizerPart
    calibration: Calibration | None


def model_id(sha256: str, contract: Contract) -> str:
    """The name of a recognizer with its contract: 16 hex digits.

    It is the beginning of the SHA-256 of this text in UTF-8: a JSON object without white space,
    keys sorted, `alignment`, `colour`, `flip_test`, `mean`, `recognizer`, `size`, `std`, where
    `recognizer` is the file's SHA-256 in hex and mean and std are always three floats as Python
    writes them. Two packs with the same digits give comparable templates.
    """
    canonical = {
        "alignment": contract.alignment,
        "colour": contract.colour,
        "flip_test": contract.flip_test,
        "mean": [float(each) for each in contract.mean],
        "recognizer": sha256,
        "size": [int(side) for side in contract.size],
        "std": [float(each) for each in contract.std],
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def three(value: Channels) -> Three:
    """One number for all channels, or one each, as three floats."""
    if isinstance(value, tuple):
        return (float(value[0]), float(value[1]), float(value[2]))
    return (float(value), float(value), float(value))


def find_pack(name: str, packs_dir: Path) -> Path:
    """The folder of a pack: one in `packs_dir` by its name, else a folder anywhere by its path.

    Raises PackInvalid where there is neither.
    """
    here = packs_dir / name
    for folder in (here, Path(name).expanduser()):
        if folder.is_dir():
            return folder
    known = ", ".join(path.name for path in pack_folders(packs_dir)) or "none"
    raise PackInvalid(
        f"There is no pack '{name}': neither in {packs_dir} (which has: {known}) nor as a folder. "
        "Set ROLLCALL_PACK, or fetch one with `python -m app.packs pull`."
    )


def pack_folders(packs_dir: Path) -> list[Path]:
    """The folders in `packs_dir` that look like packs, by name."""
    if not packs_dir.is_dir():
        return []
    return sorted(
        folder
        for folder in packs_dir.iterdir()
        if folder.is_dir() and ((folder / "pack.json").is_file() or _insightface_files(folder))
    )


def read_pack(folder: Path) -> Pack:
    """The pack in `folder`. Raises PackInvalid that names the file and what is wrong with it."""
    if (folder / "pack.json").is_file():
        return _read_rollcall(folder)
    if files := _insightface_files(folder):
        return _read_insightface(folder, *files)
    raise PackInvalid(
        f"{folder} is no pack: it has neither pack.json nor InsightFace's files "
        f"({' or '.join(INSIGHTFACE_DETECTORS)}, and {' or '.join(INSIGHTFACE_RECOGNIZERS)})."
    )


def read_manifest(path: Path) -> Manifest:
    """`pack.json` as it stands. Raises PackInvalid that names the wrong fields."""
    try:
        return Manifest.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        raise PackInvalid(f"{path} is wrong: {faults(error)}.") from None
    except (OSError, ValueError) as error:
        raise PackInvalid(f"{path} cannot be read: {error}.") from None


def _read_rollcall(folder: Path) -> Pack:
    manifest = read_manifest(folder / "pack.json")
    recognizer = _recognizer(folder, manifest.recognizer)
    if manifest.calibration_sha256 is not None:
        _check_hash(_existing(folder / CALIBRATION), manifest.calibration_sha256)
    model = model_id(recognizer.sha256, recognizer.contract)
    return Pack(
        folder=folder,
        name=manifest.name,
        version=manifest.version,
        format="rollcall",
        licence=manifest.licence,
        model=model,
        detector=_detector(folder, manifest.detector),
        recognizer=recognizer,
        calibration=read_calibration(folder / CALIBRATION, model),
    )


def _graph(path: Path) -> "GraphProto":
    """Raises PackInvalid for a file that is none."""
    # 60 MB that a service need not pay whose workers read the packs.
    from app.vision.session import read_model

    return read_model(path).graph


def _detector(folder: Path, entry: DetectorEntry) -> DetectorPart:
    path = _locate(folder, entry.file)
    _check_hash(path, entry.sha256)
    _graph(path)
    return DetectorPart(
        path=path,
        sha256=entry.sha256,
        kind=entry.kind,
        input_sizes=entry.input_sizes,
        score_threshold=entry.score_threshold,
        nms_threshold=entry.nms_threshold,
        licence=entry.licence,
    )


def _recognizer(folder: Path, entry: RecognizerEntry) -> RecognizerPart:
    path = _locate(folder, entry.file)
    _check_hash(path, entry.sha256)
    graph = _graph(path)
    if entry.input not in {each.name for each in graph.input}:
        raise PackInvalid(f"{path} has no input '{entry.input}', which pack.json promises.")
    return RecognizerPart(
        path=path,
        sha256=entry.sha256,
        input=entry.input,
        dimension=entry.dimension,
        contract=Contract(
            size=entry.size,
            colour=entry.colour,
            mean=three(entry.mean),
            std=three(entry.std),
            alignment=entry.alignment,
            flip_test=entry.flip_test,
        ),
        licence=entry.licence,
    )


def _read_insightface(folder: Path, detector: Path, recognizer: Path) -> Pack:
    for path in (detector, recognizer):
        _graph(path)
    # 1.6 s and 100 MB that other packs need not pay.
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    from app.vision.session import open_session

    # The library knows which of its files normalise inside the graph.
    seen = ArcFaceONNX(model_file=str(recognizer), session=open_session(recognizer, "cpu"))
    if tuple(seen.input_size) != (112, 112) or not isinstance(seen.output_shape[-1], int):
        raise PackInvalid(f"{recognizer} is no InsightFace recognizer of 112x112 crops.")
    sha256 = hash_file(recognizer)
    contract = Contract(mean=three(seen.input_mean), std=three(seen.input_std))
    model = model_id(sha256, contract)
    return Pack(
        folder=folder,
        name=folder.name,
        version=sha256[:8],
        format="insightface",
        licence=NON_COMMERCIAL,
        model=model,
        detector=DetectorPart(
            path=detector,
            sha256=hash_file(detector),
            kind="scrfd",
            input_sizes=(640,),
            score_threshold=0.5,
            nms_threshold=0.4,
            licence=NON_COMMERCIAL,
        ),
        recognizer=RecognizerPart(
            path=recognizer,
            sha256=sha256,
            input=seen.input_name,
            dimension=seen.output_shape[-1],
            contract=contract,
            licence=NON_COMMERCIAL,
        ),
        calibration=read_calibration(folder / CALIBRATION, model),
    )


def _insightface_files(folder: Path) -> tuple[Path, Path] | None:
    detector = _first(folder, INSIGHTFACE_DETECTORS)
    recognizer = _first(folder, INSIGHTFACE_RECOGNIZERS)
    return (detector, recognizer) if detector and recognizer else None


def _first(folder: Path, patterns: Sequence[str]) -> Path | None:
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def _locate(folder: Path, file: str) -> Path:
    """`NAME` in the folder, or `package:NAME/FILE` in an installed package, which is not run."""
    if not file.startswith("package:"):
        if Path(file).name != file:
            raise PackInvalid(f"{folder / 'pack.json'}: '{file}' is not a plain file name.")
        return _existing(folder / file)
    package, _, inside = file.removeprefix("package:").partition("/")
    parts = inside.split("/")
    if not package.isidentifier() or not all(parts) or ".." in parts:
        raise PackInvalid(f"{folder / 'pack.json'}: '{file}' is not of the form package:NAME/FILE.")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PackInvalid(f"Pack {folder} needs the Python package '{package}'. Install it.")
    return _existing(Path(spec.submodule_search_locations[0], *parts))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PackInvalid(f"{path} is missing. Fetch the pack again.")
    return path


def _check_hash(path: Path, promised: str) -> None:
    if (found := hash_file(path)) != promised:
        raise PackInvalid(
            f"{path} has SHA-256 {found}, pack.json promises {promised}: it is damaged or was "
            "exchanged. Fetch the pack again."
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
