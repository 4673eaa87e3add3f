"""Random views of aligned faces: what another detector, camera or file would have made of them.

Whole batches at a time and on the device that trains: on an accelerator nothing else keeps up with
it, and a generator that is seeded by the step makes a resumed run see the same views.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.data.faces import CROP_SIZE

GREY: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601

# Quantisation of luminance at quality 50: ITU-T T.81, table K.1.
QUANTISATION: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True, kw_only=True)
class Views:
    """How far a view may be from the crop. Shares are of the batch; the rest are deviations."""

    turn: float = 4.0  # degrees
    zoom: float = 0.04  # natural logarithm
    shift: float = 2.0  # pixels of the crop
    contrast: float = 0.18
    brightness: float = 20.0  # of 255
    tint: float = 0.04  # each channel's gain
    grey: float = 0.125
    from_afar: float = 0.2
    out_of_focus: float = 0.1
    compressed: float = 0.1
    covered: float = 0.1


MIRRORED: Final = Views(
    turn=0, zoom=0, shift=0, contrast=0, brightness=0, tint=0, grey=0,
    from_afar=0, out_of_focus=0, compressed=0, covered=0,
)  # fmt: skip


def normalise(crops: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W], (x - 127.5) / 127.5, channels last in memory."""
    return ((crops.float() - 127.5) / 127.5).permute(0, 3, 1, 2)


def random_views(pictures: Tensor, views: Views, random: torch.Generator) -> Tensor:
    """Augmented crops of uint8 pictures [B, S, S, 3], S >= 112: float32 [B, 3, 112, 112].

    The inner 112x112 of a picture is the crop; a larger picture lets shifts, turns and zooms see
    real pixels instead of a border. ``random`` lives on the device of ``pictures``.
    """
    chance = _Chance(len(pictures), random)
    planes = _placed(pictures.permute(0, 3, 1, 2).float(), views, chance)
    # Halves of the chosen, each with a size of its own: one size for all would be one lesson.
    for half in chance.some(views.from_afar).chunk(2):
        _replace(planes, half, _from_afar(planes[half], chance.between(0.16, 0.7)))
    for half in chance.some(views.out_of_focus).chunk(2):
        _replace(planes, half, _out_of_focus(planes[half], chance.between(0.6, 1.8)))
    planes = _lit(planes, views, chance)
    chosen = chance.some(views.compressed)
    _replace(planes, chosen, _compressed(planes[chosen], chance.uniform(len(chosen), 0.7, 2.5)))
    planes = _covered(planes, chance.some(views.covered), chance)
    return ((planes - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


class _Chance:
    """Random numbers for one batch of ``count``."""

    def __init__(self, count: int, random: torch.Generator) -> None:
        self.count = count
        self.random = random
        self.device = random.device

    def normal(self, deviation: float, *more: int) -> Tensor:
        shape = (self.count, *more)
        return deviation * torch.randn(shape, generator=self.random, device=self.device)

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=self.random, device=self.device)

    def between(self, low: float, high: float) -> float:
        return float(self.uniform(1, low, high))

    def some(self, share: float) -> Tensor:
        """Row numbers, each chosen with that probability."""
        return torch.nonzero(self.uniform(self.count, 0, 1) < share).flatten()


def _replace(planes: Tensor, rows: Tensor, by: Tensor) -> None:
    if len(rows):
        planes[rows] = by


def _placed(planes: Tensor, views: Views, chance: _Chance) -> Tensor:
    """Mirror, and move as another detector's landmarks would: turn, zoom, shift."""
    size = planes.shape[2]
    mirror = torch.where(chance.uniform(chance.count, 0, 1) < 0.5, -1.0, 1.0)
    if not (views.turn or views.zoom or views.shift):
        rim = (size - CROP_SIZE) // 2
        crops = planes[..., rim : rim + CROP_SIZE, rim : rim + CROP_SIZE]
        return torch.where(mirror.view(-1, 1, 1, 1) < 0, crops.flip(3), crops)
    turn = chance.normal(math.radians(views.turn))
    zoom = torch.exp(chance.normal(views.zoom)) * CROP_SIZE / size
    shift = chance.normal(2 * views.shift / size, 2)
    a, b = zoom * torch.cos(turn), zoom * torch.sin(turn)
    from_crop = torch.stack(
        [
            torch.stack([a * mirror, -b, shift[:, 0]], dim=1),
            torch.stack([b * mirror, a, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(from_crop, [chance.count, 3, CROP_SIZE, CROP_SIZE], align_corners=False)
    return F.grid_sample(planes, grid, mode="bilinear", align_corners=False)


def _from_afar(planes: Tensor, scale: float) -> Tensor:
    """Shrunk to ``scale`` and blown up again."""
    size = max(16, round(scale * CROP_SIZE))
    small = F.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return F.interpolate(small, (CROP_SIZE, CROP_SIZE), mode="bilinear").clamp(0, 255)


def _out_of_focus(planes: Tensor, sigma: float) -> Tensor:
    reach = torch.arange(-5.0, 6.0, device=planes.device)
    kernel = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    across = F.conv2d(F.pad(planes, (5, 5, 0, 0), mode="replicate"), kernel, groups=3)
    down = F.pad(across, (0, 0, 5, 5), mode="replicate")
    return F.conv2d(down, kernel.transpose(2, 3), groups=3)


def _lit(planes: Tensor, views: Views, chance: _Chance) -> Tensor:
    """Contrast, brightness and tint; some are grey."""
    if not (views.contrast or views.brightness or views.tint or views.grey):
        return planes
    contrast = torch.exp(chance.normal(views.contrast)).view(-1, 1, 1, 1)
    gain = contrast * torch.exp(chance.normal(views.tint, 3)).view(-1, 3, 1, 1)
    shift = chance.normal(views.brightness).view(-1, 1, 1, 1)
    planes = (planes - 127.5) * gain + (127.5 + shift)
    grey = chance.some(views.grey)
    weights = torch.tensor(GREY, device=planes.device).view(1, 3, 1, 1)
    _replace(planes, grey, (planes[grey] * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1))
    return planes.clamp(0, 255)


def _compressed(planes: Tensor, coarseness: Tensor) -> Tensor:
    """JPEG's loss without its coding: 8x8 cosine transform, rounded by the table times [n].

    Colour is treated like brightness: it is the blocks that a recognizer has to look through.
    """
    count = len(planes)
    steps = torch.tensor(QUANTISATION, device=planes.device, dtype=torch.float32)
    steps = steps * coarseness.view(-1, 1, 1, 1, 1, 1)
    place = torch.arange(8, device=planes.device, dtype=torch.float32)
    basis = torch.cos((2 * place + 1) * place.view(-1, 1) * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    side = CROP_SIZE // 8
    blocks = (planes - 128).reshape(count, 3, side, 8, side, 8).permute(0, 1, 2, 4, 3, 5)
    rounded = torch.round(basis @ blocks @ basis.T / steps) * steps
    blocks = basis.T @ rounded @ basis
    return (blocks.permute(0, 1, 2, 4, 3, 5).reshape(planes.shape) + 128).clamp(0, 255)


def _covered(planes: Tensor, rows: Tensor, chance: _Chance) -> Tensor:
    """A flat rectangle of 2 to 15 % of the crop (Zhong et al., Random Erasing, AAAI 2020)."""
    count = len(rows)
    if not count:
        return planes
    area = chance.uniform(count, 0.02, 0.15) * CROP_SIZE**2
    ratio = torch.exp(chance.uniform(count, -0.7, 0.7))
    height, width = torch.sqrt(area * ratio), torch.sqrt(area / ratio)
    top = chance.uniform(count, 0, 1) * (CROP_SIZE - height)
    left = chance.uniform(count, 0, 1) * (CROP_SIZE - width)
    place = torch.arange(CROP_SIZE, device=planes.device)
    down = (place >= top[:, None]) & (place < (top + height)[:, None])
    across = (place >= left[:, None]) & (place < (left + width)[:, None])
    inside = (down[:, :, None] & across[:, None, :])[:, None]
    shade = chance.uniform(count, 0, 255).view(-1, 1, 1, 1)
    planes[rows] = torch.where(inside, shade, planes[rows])
    return planes
