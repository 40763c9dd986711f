"""Running sums over photos and masks: exact, in one pass, with one photo in memory at a time."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.contracts import BACKGROUND_INDEX, ImageArray, MaskArray

GRID = 16
"""Cells per side of the grid over a photo, whatever its size."""

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class ColorTally:
    """Histogram of each channel, from which mean and standard deviation follow exactly."""

    histogram: Counts = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    num_photos: int = 0
    _photo_stds: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # sums over photos

    def add(self, image: ImageArray) -> None:
        """Count a photo, uint8 (H, W, 3) RGB."""
        # Pillow counts in place; numpy's bincount would first make eight bytes of every pixel.
        counts = np.array(Image.fromarray(image).histogram(), np.int64).reshape(3, 256)
        self.histogram += counts
        self.num_photos += 1
        for channel, std in enumerate(measure_spread(counts)[1]):
            self._photo_stds[channel] += std

    @property
    def mean_photo_std(self) -> list[float]:
        """Standard deviation within each photo, averaged over photos, per channel in 0..1."""
        return [total / self.num_photos for total in self._photo_stds]


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


class LabelTally:
    """Counts of pixels and objects by class."""

    def __init__(self, num_classes: int) -> None:
        self.num_photos = 0
        self.photos: Counts = np.zeros(num_classes, np.int64)
        """Photos with at least one pixel of the class."""
        self.pixels: Counts = np.zeros(num_classes, np.int64)
        self.objects: Counts = np.zeros(num_classes, np.int64)
        self.empty_objects: Counts = np.zeros(num_classes, np.int64)
        """Objects that draw not a single pixel."""
        self.areas_px = [array("q") for _ in range(num_classes)]
        """Drawn pixels of each other object, before any other covers it."""
        self.together: Counts = np.zeros((num_classes, num_classes), np.int64)
        """Photos with a pixel of both classes; the diagonal is ``photos``."""
        self.occupancy = np.zeros((num_classes, GRID, GRID))
        """Sum over photos of :func:`measure_occupancy`."""
        self.classes_per_photo: Counter[int] = Counter()
        """Number of classes besides the background -> photos."""
        self.objects_per_photo: Counter[int] = Counter()
        self.contents: list[dict[int, int]] = []
        """Class index -> pixels for each photo, without absent classes."""

    def add_mask(self, mask: MaskArray) -> None:
        """Count a mask, uint8 (H, W) of class indices."""
        pixels = np.array(Image.fromarray(mask).histogram()[: len(self.pixels)], np.int64)
        present = np.flatnonzero(pixels)
        self.num_photos += 1
        self.pixels += pixels
        self.photos[present] += 1
        self.together[np.ix_(present, present)] += 1
        for index in present:
            self.occupancy[index] += measure_occupancy(mask == index)
        self.classes_per_photo[int((present != BACKGROUND_INDEX).sum())] += 1
        self.contents.append({int(i): int(pixels[i]) for i in present})

    def add_objects(self, objects: list[tuple[int, int]]) -> None:
        """Count the objects of one photo, given as (class index, drawn pixels)."""
        for index, area_px in objects:
            self.objects[index] += 1
            if area_px:
                self.areas_px[index].append(area_px)
            else:
                self.empty_objects[index] += 1
        self.objects_per_photo[len(objects)] += 1
