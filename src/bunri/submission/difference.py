"""Differences between two submissions, and the photos that differ most."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bunri.core.contracts import MaskArray
from bunri.scores.confusion import Matrix, count_confusion
from bunri.submission.align import align_submissions, pack_mask, unpack_mask
from bunri.submission.format import SUBMISSION_SIZE_PX


@dataclass(frozen=True, slots=True)
class PhotoDifference:
    """A photo on which two submissions differ, in ``num_different`` of the 65,536 pixels."""

    image_id: str
    num_different: int
    packed: tuple[bytes, bytes]
    """Both masks, compressed, since a page may keep a thousand."""

    @property
    def share(self) -> float:
        """Return the share of pixels that differ, 0 to 1."""
        return self.num_different / SUBMISSION_SIZE_PX**2

    def unpack_masks(self) -> tuple[MaskArray, MaskArray]:
        """Return the masks of the first and the second file, each uint8 (256, 256)."""
        return unpack_mask(self.packed[0]), unpack_mask(self.packed[1])


@dataclass(frozen=True, slots=True)
class SubmissionDifference:
    """Agreement of two submissions."""

    matrix: Matrix
    """int64 (C, C), pixels: row = class in the first file, column = in the second."""
    num_photos: int
    num_equal: int
    """Number of photos without a different pixel."""
    photos: tuple[PhotoDifference, ...]
    """Photos that differ most, in that order, then in the order of the first file."""


def compare_submissions(
    first: Path, second: Path, num_classes: int, max_photos: int
) -> SubmissionDifference:
    """Count where two submissions differ, rows in any order; keep the photos that differ most."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    num_photos = num_equal = 0

    def list_differences() -> Iterator[PhotoDifference]:
        nonlocal matrix, num_photos, num_equal
        for image_id, (left, right) in align_submissions([first, second], num_classes):
            num_photos += 1
            matrix += count_confusion(left, right, num_classes)
            num_different = int(np.count_nonzero(left != right))
            if num_different:
                packed = pack_mask(left), pack_mask(right)
                yield PhotoDifference(image_id, num_different, packed)
            else:
                num_equal += 1

    photos = heapq.nlargest(max_photos, list_differences(), key=lambda one: one.num_different)
    return SubmissionDifference(matrix, num_photos, num_equal, tuple(photos))
