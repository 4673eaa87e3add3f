"""The kinds of detectors: each turns a canvas into regions, and knows nothing else."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from app.settings import Device
from app.types import Pixels
from app.vision.boxes import Found


class Net(Protocol):
    """A detector's network with the decoding of its outputs."""

    def find(self, canvas: Pixels, threshold: float) -> Found:
        """Regions scored at least `threshold`, overlapping ones included, in canvas pixels.

        `canvas`: uint8[H, W, 3], RGB; H and W are multiples of 32.
        """
        ...

    def give_back(self) -> None:
        """Free the memory that runs took."""
        ...

    @property
    def coarse(self) -> int:
        """Longest side of a canvas, in pixels, on which it still places the landmarks of a face
        well that takes a quarter of the side or more; measured (benchmarks/detection.py)."""
        ...

    @property
    def providers(self) -> tuple[str, ...]:
        """The ONNX Runtime providers its session really has."""
        ...


def _centerface(path: Path, device: Device) -> Net:
    from app.vision.detectors.centerface import CenterFace

    return CenterFace(path, device)


def _scrfd(path: Path, device: Device) -> Net:
    # insightface imports half of SciPy: 1.6 s and 100 MB that other packs need not pay.
    from app.vision.detectors.scrfd import Scrfd

    return Scrfd(path, device)


def _yunet(path: Path, device: Device) -> Net:
    from app.vision.detectors.yunet import YuNet

    return YuNet(path, device)


KINDS: Final[Mapping[str, Callable[[Path, Device], Net]]] = {
    "centerface": _centerface,
    "scrfd": _scrfd,
    "yunet": _yunet,
}
