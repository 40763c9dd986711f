"""Differences between two submissions, and the photos that differ most."""

import heapq
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bunri.core.contracts import MaskArray
from bunri.scores.confusion import Matrix, count_confusion
from bunri.submission.align import align_submissions
from bunri.submission.format import SUBMISSION_SIZE_PX


@dataclass(frozen=True, slots=True)
class PhotoDifference:
    """A photo on which two submissions differ.

    Attributes:
        image_id: Id of the photo in the files.
        num_different: Number of the 65,536 pixels that differ.
        packed: Both masks, compressed, since a page may keep a thousand.
    """

    image_id: str
    num_different: int
    packed: tuple[bytes, bytes]

    @property
    def share(self) -> float:
        """Share of pixels that differ, 0 to 1."""
        return self.num_different / SUBMISSION_SIZE_PX**2

    def unpack_masks(self) -> tuple[MaskArray, MaskArray]:
        """Return the masks of the first and the second file, each uint8 (256, 256)."""
        shape = (SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)
        first, second = (
            np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
            for packed in self.packed
        )
        return first, second


@dataclass(frozen=True, slots=True)
class SubmissionDifference:
    """Agreement of two submissions.

    Attributes:
        matrix: int64 (C, C), pixels: row = class in the first file, column = in the second.
        num_photos: Number of photos in each file.
        num_equal: Number of photos without a different pixel.
        photos: Photos that differ most, in that order, then in the order of the first file.
    """

    matrix: Matrix
    num_photos: int
    num_equal: int
    photos: tuple[PhotoDifference, ...]


def compare_submissions(
    first: Path, second: Path, num_classes: int, max_photos: int
) -> SubmissionDifference:
    """Count where two submissions differ; rows may be in any order.

    Args:
        first: Submission, plain or packed (``.gz``).
        second: Submission to compare with it.
        num_classes: Number of classes, background included; at most 255.
        max_photos: Largest number of photos to keep.

    Raises:
        SubmissionError: A file has a fault, or they are about different photos.
        PathError: A file cannot be read.
    """
    matrix = np.zeros((num_classes, num_classes), np.int64)
    # The heap's smallest entry is dropped first: few differences, late in the file.
    kept: list[tuple[int, int, PhotoDifference]] = []
    num_photos = num_equal = 0
    for image_id, (left, right) in align_submissions([first, second], num_classes):
        num_photos += 1
        matrix += count_confusion(left, right, num_classes)
        num_different = int(np.count_nonzero(left != right))
        if not num_different:
            num_equal += 1
            continue
        if len(kept) == max_photos and (num_different, -num_photos) < kept[0][:2]:
            continue
        packed = zlib.compress(left.tobytes(), 1), zlib.compress(right.tobytes(), 1)
        entry = (num_different, -num_photos, PhotoDifference(image_id, num_different, packed))
        if len(kept) < max_photos:
            heapq.heappush(kept, entry)
        else:
            heapq.heapreplace(kept, entry)
    photos = tuple(photo for _, _, photo in sorted(kept, key=lambda entry: entry[:2], reverse=True))
    return SubmissionDifference(matrix, num_photos, num_equal, photos)
