"""Random views of aligned faces: what another detector, camera or file would have made of them."""

import math
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.data import CROP_SIZE, PICTURE_SIZE

Pixels = NDArray[np.uint8]

TURN: Final = 4.0  # standard deviations: degrees, natural logarithm, pixels of the crop
ZOOM: Final = 0.04
SHIFT: Final = 2.0
CONTRAST: Final = 0.18
BRIGHTNESS: Final = 20.0


def normalise(crops: Pixels) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W], (x - 127.5) / 127.5, channels last in memory."""
    return torch.from_numpy((crops.astype(np.float32) - 127.5) / 127.5).permute(0, 3, 1, 2)


def random_view(picture: Pixels, random: np.random.Generator, *, gentle: bool = False) -> Pixels:
    """An augmented crop uint8 [112, 112, 3] of a picture uint8 [160, 160, 3].

    The wider picture lets shifts, turns and zooms see real pixels instead of a border. A
    ``gentle`` view is neither taken from afar nor covered.
    """
    view = _placed(picture, random)
    kind = random.random()
    if kind < 0.2 and not gentle:
        view = _from_afar(view, random)
    elif 0.2 <= kind < 0.3:
        view = _out_of_focus(view, random)
    view = _lit(view, random)
    if random.random() < 0.1:
        view = _compressed(view, random)
    if random.random() < 0.1 and not gentle:
        _occlude(view, random)
    return view


def _placed(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Mirror, and move as another detector's landmarks would: turn, zoom, shift."""
    turn = math.radians(random.normal(0, TURN))
    zoom = math.exp(random.normal(0, ZOOM))
    mirror = -1.0 if random.random() < 0.5 else 1.0
    a, b = zoom * math.cos(turn), zoom * math.sin(turn)
    shift_x, shift_y = random.normal(0, SHIFT, 2)
    # From the crop's pixels to the picture's, both counted from their centres.
    linear = np.array([[a * mirror, -b], [b * mirror, a]])
    centre = np.array([(PICTURE_SIZE - 1) / 2 + shift_x, (PICTURE_SIZE - 1) / 2 + shift_y])
    offset = centre - linear @ np.full(2, (CROP_SIZE - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (CROP_SIZE, CROP_SIZE)
    warped = cv2.warpAffine(picture, np.column_stack([linear, offset]), size, flags=flags)
    return np.asarray(warped, np.uint8)


def _from_afar(view: Pixels, random: np.random.Generator) -> Pixels:
    side = int(CROP_SIZE / random.uniform(1.5, 4.5))
    small = cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA)
    big = cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(big, np.uint8)


def _out_of_focus(view: Pixels, random: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(view, (0, 0), random.uniform(0.6, 1.8)), np.uint8)


def _lit(view: Pixels, random: np.random.Generator) -> Pixels:
    """Contrast, brightness; one in eight grey."""
    contrast = math.exp(random.normal(0, CONTRAST))
    shift = 127.5 + random.normal(0, BRIGHTNESS) - contrast * 127.5
    table = np.clip(np.arange(256) * contrast + shift, 0, 255).astype(np.uint8)
    view = np.asarray(cv2.LUT(view, table), np.uint8)
    if random.random() < 0.125:
        view = np.asarray(cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    return view


def _compressed(view: Pixels, random: np.random.Generator) -> Pixels:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 70))]
    _, content = cv2.imencode(".jpg", view, quality)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def _occlude(view: Pixels, random: np.random.Generator) -> None:
    """A flat rectangle of 2 to 15 % of the crop (Zhong et al., Random Erasing, AAAI 2020)."""
    area = random.uniform(0.02, 0.15) * CROP_SIZE**2
    ratio = math.exp(random.uniform(-0.7, 0.7))
    height, width = int(math.sqrt(area * ratio)), int(math.sqrt(area / ratio))
    top = int(random.integers(0, CROP_SIZE - height))
    left = int(random.integers(0, CROP_SIZE - width))
    view[top : top + height, left : left + width] = random.integers(0, 256)
