"""What photos hold, and how alike the parts of a split are.

Owns the balance figure. Knows nothing of how parts are chosen.

The figure is one number; lower is better, 0 is perfect. For each part of a split

- *presence* is the mean over classes of ``|p - P| / P``: ``p`` is the share of the part's photos
  that show the class, ``P`` that of all photos;
- *pixels* is the same for the class's share of the pixels;
- *size* is ``|n - w| / w``: ``n`` is the number of photos in the part, ``w`` the number wanted;

and the figure is the mean of the three, averaged over the parts. Classes are those that are
seen at all, the background aside; in a part without photos all shares are 0. A class with
fewer photos than there are parts keeps the figure above 0 whatever is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """What photos hold.

    Attributes:
        pixels: int64 (photos, classes), pixels of each class; column 0 is the background.
        areas: int64 (photos,), all pixels of each photo.
    """

    pixels: IntArray
    areas: IntArray

    @property
    def seen(self) -> list[int]:
        """Indices of the classes that some photo shows, the background aside."""
        return [c for c in range(1, self.pixels.shape[1]) if self.pixels[:, c].any()]

    @property
    def features(self) -> DoubleArray:
        """What the balance is made of: float64 (photos, 2 + 2 * seen classes).

        Columns: 1, the area, 1 for each class that the photo shows, its pixels of each class.
        Sums over photos describe a part; they are whole numbers, so their order does not matter.
        """
        pixels = self.pixels[:, self.seen]
        ones = np.ones(len(pixels), np.int64)
        return np.column_stack([ones, self.areas, pixels > 0, pixels]).astype(np.float64)


def measure_contents(
    dataset: LabelledSet, rule: OverlapRule, advance: Callable[[], None] | None = None
) -> Contents:
    """Return what the photos of a labelled set hold, from their masks.

    Args:
        dataset: Photos with labels; the photos themselves are not opened.
        rule: Who owns a pixel that several objects claim.
        advance: Called after each photo.

    Raises:
        AnnotationError: An annotation that cannot be drawn.
    """
    num_classes = len(dataset.table)
    pixels = np.zeros((len(dataset.photos), num_classes), np.int64)
    for row, photo in zip(pixels, dataset.photos, strict=True):
        mask = draw_mask(dataset, photo, rule)
        row[:] = np.bincount(mask.reshape(-1), minlength=num_classes)[:num_classes]
        if advance is not None:
            advance()
    areas = [photo.height_px * photo.width_px for photo in dataset.photos]
    return Contents(pixels, np.array(areas, np.int64))


def join_contents(parts: Sequence[Contents]) -> Contents:
    """Return what the photos of several sets with one class table hold, in order."""
    pixels = np.concatenate([part.pixels for part in parts])
    return Contents(pixels, np.concatenate([part.areas for part in parts]))


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance figure and what it is made of, each averaged over the parts."""

    presence: float
    pixels: float
    size: float

    @property
    def figure(self) -> float:
        """The one number, see the top of this file."""
        return (self.presence + self.pixels + self.size) / 3

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        parts = {"presence": self.presence, "pixels": self.pixels, "size": self.size}
        return {"figure": self.figure, **parts}


def measure_balance(contents: Contents, part_of: IntArray, shares: Sequence[float]) -> Balance:
    """Return how well balanced a split is.

    Args:
        contents: What the photos hold.
        part_of: int64 (photos,), the part that each photo is in.
        shares: What share of the photos each part should get; they sum to 1.
    """
    features = contents.features
    totals = np.stack([features[part_of == part].sum(axis=0) for part in range(len(shares))])
    deviations = measure_deviations(totals, features.sum(axis=0), np.array(shares))
    return Balance(*deviations.mean(axis=0).tolist())


def measure_deviations(totals: DoubleArray, whole: DoubleArray, shares: DoubleArray) -> DoubleArray:
    """Return presence, pixels and size of some parts, see the top of this file.

    Args:
        totals: float64 (..., F), sums of ``Contents.features`` over each part.
        whole: float64 (F,), the sum over all photos.
        shares: float64 (...), what share of the photos each part should get.

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
