"""Random views of aligned faces, a batch at a time."""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.training.data import CROP_SIZE, PICTURE_SIZE


def normalise(crops: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W], (x - 127.5) / 127.5."""
    return torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).sub(127.5).div(127.5)


def random_views(pictures: NDArray[np.uint8], random: np.random.Generator) -> Tensor:
    """Augmented crops of uint8 [B, 160, 160, 3] pictures: float32 [B, 3, 112, 112] in [-1, 1].

    The wider picture lets shifts, turns and zooms see real pixels instead of a border.
    """
    views = _sharpness(_placement(normalise(pictures), random), random)
    views = _light(views, random)
    _compress(views, random)
    _occlude(views, random)
    return views


def _chosen(count: int, share: float, random: np.random.Generator) -> Tensor:
    return torch.from_numpy(np.flatnonzero(random.random(count) < share))


def _placement(pictures: Tensor, random: np.random.Generator) -> Tensor:
    """Mirror, and move as another detector's landmarks would: turn, zoom, shift."""
    count = len(pictures)
    turn = np.radians(random.normal(0, 4, count))
    zoom = np.exp(random.normal(0, 0.04, count))
    mirror = np.where(random.random(count) < 0.5, -1.0, 1.0)
    # grid_sample counts from -1 to 1 over each side: one output unit is CROP/PICTURE of an input's.
    unit = zoom * (CROP_SIZE - 1) / (PICTURE_SIZE - 1)
    transform = np.zeros((count, 2, 3), np.float32)
    transform[:, 0, 0] = unit * np.cos(turn) * mirror
    transform[:, 0, 1] = -unit * np.sin(turn)
    transform[:, 1, 0] = unit * np.sin(turn) * mirror
    transform[:, 1, 1] = unit * np.cos(turn)
    transform[:, :, 2] = random.normal(0, 2.0, (count, 2)) * 2 / (PICTURE_SIZE - 1)
    size = [count, 3, CROP_SIZE, CROP_SIZE]
    grid = F.affine_grid(torch.from_numpy(transform), size, align_corners=True)
    # Zero after normalisation is grey; +1 before and -1 after makes the border black, as align's.
    return F.grid_sample(pictures + 1, grid, align_corners=True) - 1


def _sharpness(views: Tensor, random: np.random.Generator) -> Tensor:
    """Faces from far away (down and up again) and out of focus."""
    small = _chosen(len(views), 0.2, random)
    if len(small):
        side = int(CROP_SIZE / random.uniform(1.5, 4.5))
        shrunk = F.interpolate(views[small], side, mode="bilinear", antialias=True)
        views[small] = F.interpolate(shrunk, CROP_SIZE, mode="bilinear")
    soft = _chosen(len(views), 0.1, random)
    if len(soft):
        sigma = random.uniform(0.6, 1.8)
        kernel = torch.exp(-torch.arange(-3, 4) ** 2 / (2 * sigma**2))
        kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
        padded = F.pad(views[soft], (3, 3, 3, 3), mode="replicate")
        rows = F.conv2d(padded, kernel, groups=3)
        views[soft] = F.conv2d(rows, kernel.transpose(2, 3), groups=3)
    return views


def _light(views: Tensor, random: np.random.Generator) -> Tensor:
    """Contrast, brightness, saturation (0 for one in eight: grey)."""
    count = len(views)

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).view(count, 1, 1, 1)

    saturation = np.where(random.random(count) < 0.125, 0, random.uniform(0.6, 1.3, count))
    grey = (views * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    views = grey + (views - grey) * column(saturation)
    contrast = column(np.exp(random.normal(0, 0.18, count)))
    return (views * contrast + column(random.normal(0, 0.15, count))).clamp(-1, 1)


def _compress(views: Tensor, random: np.random.Generator) -> None:
    for index in _chosen(len(views), 0.1, random).tolist():
        pixels = ((views[index] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 70))]
        _, content = cv2.imencode(".jpg", np.ascontiguousarray(pixels), quality)
        decoded = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
        views[index] = normalise(decoded[None])[0]


def _occlude(views: Tensor, random: np.random.Generator) -> None:
    """A flat rectangle of 2 to 15 % of the crop (Zhong et al., Random Erasing, AAAI 2020)."""
    for index in _chosen(len(views), 0.1, random).tolist():
        area = random.uniform(0.02, 0.15) * CROP_SIZE**2
        ratio = math.exp(random.uniform(-0.7, 0.7))
        height, width = int(math.sqrt(area * ratio)), int(math.sqrt(area / ratio))
        top = int(random.integers(0, CROP_SIZE - height))
        left = int(random.integers(0, CROP_SIZE - width))
        views[index, :, top : top + height, left : left + width] = random.uniform(-1, 1)
