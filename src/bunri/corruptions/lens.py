"""Disturbances between camera and scene: glare, dirt on the lens, fog.

Fog is that of Hendrycks and Dietterich (2019), dirt resembles their spatter, and glare is not among
theirs. They are drawn in a coarse picture, because none has fine detail.
"""

import numpy as np

from bunri.core.contracts import FloatArray, ImageArray
from bunri.corruptions.scale import draw_direction, lay_over, place_grid
from bunri.images.noise import make_noise

GLARE_RADIUS = (0.035, 0.055, 0.085, 0.12, 0.165)
"""Radius of the white spot, as a share of the longer side."""
GLARE_VEIL = (0.3, 0.42, 0.55, 0.65, 0.75)
"""Opacity of stray light near the spot."""
NUM_SPECKS = (14, 22, 32, 44, 60)
SPECK_RADIUS = (0.014, 0.018, 0.023, 0.029, 0.036)
"""Radius of a medium speck, as a share of the longer side."""
SMEAR = (0.4, 0.52, 0.64, 0.74, 0.82)
"""Largest opacity of smears."""
FOG = (0.3, 0.42, 0.55, 0.68, 0.8)
"""Mean opacity of fog."""

_GLARE_RGB, _DIRT_RGB, _FOG_RGB = (255, 252, 240), (58, 49, 38), (208, 212, 216)
_GLARE_GRID_PX, _DIRT_GRID_PX, _FOG_GRID_PX = 160, 192, 128
_FOG_UNEVENNESS = 0.3
_STREAK_WIDTH = 0.008


def add_glare(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo with glare of a lamp or the sun: a white spot, streaks, a veil."""
    down, right = place_grid(image, _GLARE_GRID_PX)
    center_down, center_right = (0.15 + 0.7 * rng.random(2)) * (down.max(), right.max())
    down, right = down - np.float32(center_down), right - np.float32(center_right)
    radius = np.float32(GLARE_RADIUS[severity - 1])
    distance = (down**2 + right**2) / radius**2
    clear = 1 - np.clip(1.5 / (1 + distance * np.sqrt(distance)), 0, 1)
    clear *= 1 - GLARE_VEIL[severity - 1] / (1 + distance / 16)
    along, across = map(np.float32, draw_direction(rng))
    for first, second in ((along, across), (-across, along)):
        forth, aside = down * first + right * second, down * second - right * first
        streak = 1 / (1 + (aside / _STREAK_WIDTH) ** 2) / (1 + (forth / (4 * radius)) ** 2)
        clear *= 1 - 0.8 * streak
    return lay_over(image, _GLARE_RGB, 1 - clear)


def add_dirt(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo through a dirty lens: blurred splashes and dust, and smears."""
    down, right = place_grid(image, _DIRT_GRID_PX)
    shape = (down.shape[0], right.shape[1])
    smears = make_noise(rng, shape, 0.35 * _DIRT_GRID_PX, octaves=4)
    ragged = make_noise(rng, shape, 0.03 * _DIRT_GRID_PX, octaves=2)
    opacity = SMEAR[severity - 1] * np.clip(1.8 * smears, 0, 1)
    places = rng.random((NUM_SPECKS[-1], 4), np.float32)
    for place_down, place_right, size, thickness in places[: NUM_SPECKS[severity - 1]]:
        # Many specks are small, a few are large.
        radius = SPECK_RADIUS[severity - 1] * (0.35 + 2.2 * size**3)
        distance = np.sqrt(
            (down - place_down * down.max()) ** 2 + (right - place_right * right.max()) ** 2
        )
        inside = np.clip((radius - distance) / (0.45 * radius) + 0.6 + 0.5 * ragged, 0, 1)
        opacity = np.maximum(opacity, (0.6 + 0.35 * thickness) * inside)
    return lay_over(image, _DIRT_RGB, opacity)


def add_fog(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo through uneven fog, steam or dust."""
    down, right = place_grid(image, _FOG_GRID_PX)
    swaths: FloatArray = make_noise(
        rng, (down.shape[0], right.shape[1]), 0.5 * _FOG_GRID_PX, octaves=4
    )
    return lay_over(image, _FOG_RGB, FOG[severity - 1] * (1 + _FOG_UNEVENNESS * swaths))
