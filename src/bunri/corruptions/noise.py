"""Gaussian, shot and impulse noise, in the amounts of Hendrycks and Dietterich (2019).

Each kind is one table from a value and one of 4,096 equally likely draws to the noisy value. Draws
are raw bits and tables are rounded to integers, so that all machines agree. A grain is one pixel of
the reference photo: finer grains would vanish when a large photo is scaled down for the network.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import ImageArray
from bunri.corruptions.scale import measure_unit

SIGMA = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviation of Gaussian noise, as a share of white."""
PHOTONS = (60, 25, 12, 5, 3)
"""Photons of a white pixel in shot noise."""
FLIPPED_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Share of values that impulse noise makes black or white."""

Table = npt.NDArray[np.uint8]  # (256, 4096): value before and draw -> value after

_BITS = 12
_NUM_DRAWS = 1 << _BITS
_MAX_BAND_VALUES = 2**20  # looked up at once, so that memory stays small on large photos


def add_gaussian_noise(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo of a hot or amplified sensor."""
    return apply_table(image, make_gaussian_table(SIGMA[severity - 1]), rng)


def add_shot_noise(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo of too few photons: noise grows with the light."""
    return apply_table(image, _make_shot_table(PHOTONS[severity - 1]), rng)


def add_impulse_noise(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo with dead and stuck values, as of a bad line or sensor."""
    return apply_table(image, _make_impulse_table(FLIPPED_SHARE[severity - 1]), rng)


def apply_table(image: ImageArray, table: Table, rng: np.random.Generator) -> ImageArray:
    """Return a photo, uint8 (H, W, 3), with independent draws for each channel of each grain."""
    height, width, channels = image.shape
    grain_px = max(1, round(measure_unit(image)))
    rows, columns = -(-height // grain_px), -(-width // grain_px)
    raw = np.frombuffer(rng.bytes(2 * rows * columns * channels), "<u2")
    draws = (raw >> (16 - _BITS)).reshape(rows, columns, channels)
    noisy, flat = np.empty_like(image), table.ravel()
    step = max(1, _MAX_BAND_VALUES // (width * channels * grain_px))
    for start in range(0, rows, step):
        band = slice(start * grain_px, (start + step) * grain_px)
        before = image[band]
        drawn = draws[start : start + step].repeat(grain_px, 0).repeat(grain_px, 1)
        drawn = drawn[: len(before), :width]
        noisy[band] = flat[(before.astype(np.int32) << _BITS) | drawn]
    return noisy


@lru_cache
def make_gaussian_table(sigma: float) -> Table:
    """Return the table of Gaussian noise with a standard deviation as a share of white."""
    normal = NormalDist(0, 255 * sigma)
    steps = [round(normal.inv_cdf((i + 0.5) / _NUM_DRAWS)) for i in range(_NUM_DRAWS)]
    values = np.arange(256)[:, np.newaxis] + np.array(steps)
    table: Table = np.clip(values, 0, 255).astype(np.uint8)
    return table


@lru_cache
def _make_shot_table(photons: int) -> Table:
    """Return the quantiles of a Poisson distribution for each value as its mean."""
    draws = (np.arange(_NUM_DRAWS) + 0.5) / _NUM_DRAWS
    table = np.empty((256, _NUM_DRAWS), np.uint8)
    counts = np.arange(1, 4 * photons + 20)
    for value in range(256):
        mean = value * photons / 255
        probabilities = np.cumprod([np.exp(-mean), *(mean / counts)])
        found = np.searchsorted(np.cumsum(probabilities), draws)
        table[value] = np.minimum(np.rint(found * (255 / photons)), 255)
    return table


@lru_cache
def _make_impulse_table(share: float) -> Table:
    half = round(share / 2 * _NUM_DRAWS)
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], _NUM_DRAWS, axis=1)
    table[:, :half], table[:, -half:] = 0, 255
    return table
