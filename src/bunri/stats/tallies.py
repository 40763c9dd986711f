"""Figures of one photo or mask: histogram, mean and standard deviation, share of grid cells."""

from math import sqrt

import numpy as np
import numpy.typing as npt
from PIL import Image

GRID = 16
"""Cells per side of the grid over a photo, whatever its size."""

Counts = npt.NDArray[np.int64]


def count_values(pixels: npt.NDArray[np.uint8]) -> Counts:
    """Return how often each value occurs in each channel, int64 (channels * 256,).

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
    """
    # Pillow counts in place; numpy's bincount would first make eight bytes of every pixel.
    return np.array(Image.fromarray(pixels).histogram(), np.int64)


def measure_spread(histogram: Counts) -> tuple[list[float], list[float]]:
    """Return mean and population standard deviation per channel, in 0..1.

    Computed from integers; the only roundings are the last division and the root.

    Args:
        histogram: Number of pixels with each value, int64 (3, 256); not empty.
    """
    means, stds = [], []
    for row in histogram.tolist():
        count = sum(row)
        total = sum(value * n for value, n in enumerate(row))
        squares = sum(value * value * n for value, n in enumerate(row))
        means.append(total / (255 * count))
        stds.append(sqrt((count * squares - total * total) / (255 * count) ** 2))
    return means, stds


def measure_occupancy(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the share of each grid cell that a region fills.

    Row ``r`` of H belongs to cell row ``i`` if ``i * H // GRID <= r < (i + 1) * H // GRID``;
    columns likewise. In a photo of fewer than GRID pixels some cells share a pixel.

    Args:
        region: bool (H, W).

    Returns:
        float64 (GRID, GRID), row 0 at the top, in 0..1.
    """
    filled = region
    cell_px = np.ones((GRID, GRID), np.int64)
    for axis, side in enumerate(region.shape):
        edges = np.arange(GRID + 1) * side // GRID
        # Where an edge is not below the next one, reduceat takes the one pixel at it.
        filled = np.add.reduceat(filled, edges[:-1], axis=axis, dtype=np.int64)
        lengths = np.maximum(np.diff(edges), 1)
        cell_px *= lengths[:, None] if axis == 0 else lengths
    return filled / cell_px
