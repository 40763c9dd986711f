"""Colours of what is drawn, RGB, 0 to 1."""

import colorsys

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

Color = npt.NDArray[np.float32]  # (3,) or (H, W, 3), RGB, 0 to 1


def pick_color(
    rng: Generator,
    *,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.5, 0.9),
    value: tuple[float, float] = (0.4, 0.9),
) -> Color:
    """Return a random colour from ranges of hue, saturation and value, all 0 to 1."""
    parts = (rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(colorsys.hsv_to_rgb(*parts), np.float32)


def make_color(red: float, green: float, blue: float) -> Color:
    """Return a colour from its parts, 0 to 1."""
    return np.array([red, green, blue], np.float32)


def make_gray(value: float) -> Color:
    """Return a neutral colour."""
    return np.full(3, value, np.float32)
