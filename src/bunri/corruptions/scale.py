"""Lengths relative to a reference photo, and coarse fields laid over photos."""

import numpy as np
from PIL import Image

from bunri.core.contracts import FloatArray, ImageArray
from bunri.images.frames import fit_size_hw

REFERENCE_PX = 512
"""Longer side of the photo that lengths are given for, about the size at which networks see photos.
A blur of 5 pixels would vanish in a photo of 12 megapixels and blot out a small one."""


def measure_unit(image: ImageArray) -> float:
    """Return the pixels of a photo, uint8 (H, W, 3), per pixel of the reference photo."""
    longer_px: int = max(image.shape[:2])
    return longer_px / REFERENCE_PX


def place_grid(image: ImageArray, longer_px: int) -> tuple[FloatArray, FloatArray]:
    """Return coordinates of a coarse picture, (h, 1) and (1, w), 0 to 1 along the longer side."""
    height, width = fit_size_hw((image.shape[0], image.shape[1]), longer_px)
    down = np.arange(0.5, height, dtype=np.float32)[:, np.newaxis]
    right = np.arange(0.5, width, dtype=np.float32)[np.newaxis]
    return down / np.float32(longer_px), right / np.float32(longer_px)


def draw_direction(rng: np.random.Generator) -> tuple[float, float]:
    """Return a uniform random direction in the first quadrant, (down, right) of length 1.

    Sines are avoided, because they differ between machines.
    """
    while True:
        down, right = np.frombuffer(rng.bytes(4), "<u2").tolist()
        length = (down * down + right * right) ** 0.5
        if 0 < length < 65536:
            return down / length, right / length


def lay_over(image: ImageArray, color_rgb: tuple[int, int, int], opacity: FloatArray) -> ImageArray:
    """Return a photo under a colour whose opacity is a coarse picture, float32 (h, w), 0 to 1."""
    picture = Image.fromarray(image)
    coarse = np.rint(255 * np.clip(opacity, 0, 1)).astype(np.uint8)
    mask = Image.fromarray(coarse).resize(picture.size, Image.Resampling.BICUBIC)
    ground = Image.new("RGB", picture.size, color_rgb)
    return np.asarray(Image.composite(ground, picture, mask))
