"""Class contents of photos, and the balance figure of a split.

The figure is one number; lower is better, 0 is perfect. For each part of a split

- *presence* is the mean over classes of ``|p - P| / P``: ``p`` is the share of the part's photos
  that show the class, ``P`` that of all photos;
- *pixels* is the same for the class's share of the pixels;
- *size* is ``|n - w| / w``: ``n`` is the number of photos in the part, ``w`` the number wanted;

and the figure is the mean of the three, averaged over the parts. Classes are those that are
seen at all, the background aside; in a part without photos all shares are 0. A class with
fewer photos than there are parts keeps the figure above 0 whatever is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bunri.core.progress import Advance
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

BALANCE_TEXT = (
    "mean over the parts of (presence + pixels + size) / 3; presence: mean over classes of "
    "|share of the part's photos with the class - share of all| / share of all; pixels: the "
    "same for shares of pixels; size: |photos in the part - photos wanted| / photos wanted"
)


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Class contents of photos.

    Attributes:
        pixels: Pixels of each class in each photo, int64 (photos, classes); column 0 is the
            background.
        areas: Pixels of each photo, int64 (photos,).
    """

    pixels: IntArray
    areas: IntArray

    @property
    def seen(self) -> list[int]:
        """Indices of the classes that are in any photo, without the background."""
        return [c for c in range(1, self.pixels.shape[1]) if self.pixels[:, c].any()]

    @property
    def features(self) -> DoubleArray:
        """Terms of the balance figure, float64 (photos, 2 + 2 * seen classes).

        Columns: 1, the area, 1 for each class that the photo shows, its pixels of each class.
        Sums over photos describe a part; they are whole numbers, so the order does not matter.
        """
        pixels = self.pixels[:, self.seen]
        ones = np.ones(len(pixels), np.int64)
        return np.column_stack([ones, self.areas, pixels > 0, pixels]).astype(np.float64)


def measure_contents(
    dataset: LabelledSet, rule: OverlapRule, advance: Advance = lambda: None
) -> Contents:
    """Return the class contents of the photos of a labelled set, from their masks."""
    num_classes = len(dataset.table)
    pixels = np.zeros((len(dataset.photos), num_classes), np.int64)
    for row, photo in zip(pixels, dataset.photos, strict=True):
        mask = draw_mask(dataset, photo, rule)
        row[:] = np.bincount(mask.reshape(-1), minlength=num_classes)[:num_classes]
        advance()
    areas = [photo.height_px * photo.width_px for photo in dataset.photos]
    return Contents(pixels, np.array(areas, np.int64))


@dataclass(frozen=True, slots=True)
class Balance:
    """The three terms of the balance figure, each averaged over the parts."""

    presence: float
    pixels: float
    size: float

    @property
    def figure(self) -> float:
        """The balance figure, see the top of this file."""
        return (self.presence + self.pixels + self.size) / 3


def measure_balance(contents: Contents, part_of: IntArray, shares: Sequence[float]) -> Balance:
    """Return the balance of a split; ``part_of`` is the part of each photo, int64 (photos,)."""
    features = contents.features
    totals = np.stack([features[part_of == part].sum(axis=0) for part in range(len(shares))])
    deviations = measure_deviations(totals, features.sum(axis=0), np.array(shares))
    return Balance(*deviations.mean(axis=0).tolist())


def measure_deviations(totals: DoubleArray, whole: DoubleArray, shares: DoubleArray) -> DoubleArray:
    """Return presence, pixels and size of some parts, see the top of this file.

    Args:
        totals: Sums of ``Contents.features`` over each part, float64 (..., F).
        whole: Sum over all photos, float64 (F,).
        shares: Wanted share of the photos in each part, float64 (...).

    Returns:
        float64 (..., 3).
    """
    num_classes = (len(whole) - 2) // 2
    size, area = totals[..., 0], totals[..., 1]
    parts = []
    for start, unit in ((2, 0), (2 + num_classes, 1)):
        columns = slice(start, start + num_classes)
        expected = whole[columns] / whole[unit]
        share = totals[..., columns] / np.maximum((size, area)[unit], 1)[..., None]
        far = np.abs(share / expected - 1)
        parts.append(far.mean(axis=-1) if num_classes else np.zeros_like(size))
    wanted = shares * whole[0]
    return np.stack([*parts, np.abs(size / wanted - 1)], axis=-1)
