"""One object to pixels, bit for bit as pycocotools' ``annToMask`` does it.

Owns polygon filling and the COCO run-length codec. Knows nothing of classes or overlap.

The polygon fill is pycocotools' own, since its rounding is the definition that everybody's
scores rest on. Run lengths are decoded here: the C decoder trusts its input and writes
outside of its buffer when the counts are wrong.
"""

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from bunri.annotations.records import Polygons, RunLengths, Segmentation
from bunri.contracts import AnnotationError

MIN_POLYGON_POINTS = 3


def draw_region(segmentation: Segmentation, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of one object.

    A polygon part with fewer than three points encloses nothing and draws nothing (pycocotools
    would read four numbers as a box).

    Args:
        segmentation: Outline or run lengths, in pixels of the photo.
        size_hw: Height and width of the photo in pixels.

    Returns:
        bool (H, W), True inside the object.

    Raises:
        AnnotationError: Run lengths of another size than the photo.
    """
    if isinstance(segmentation, RunLengths):
        if segmentation.size_hw != size_hw:
            raise AnnotationError(
                f"run lengths are {segmentation.size_hw} (height, width), the photo is {size_hw}"
            )
        return expand_run_lengths(segmentation)
    return _fill_polygons(segmentation, size_hw)


def _fill_polygons(polygons: Polygons, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    height, width = size_hw
    parts = [part.tolist() for part in polygons.parts if len(part) >= 2 * MIN_POLYGON_POINTS]
    if not parts:
        return np.zeros(size_hw, np.bool_)
    merged = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
    filled: npt.NDArray[np.uint8] = coco_mask.decode(merged)
    return filled.view(np.bool_)


def expand_run_lengths(runs: RunLengths) -> npt.NDArray[np.bool_]:
    """Return run lengths as bool (H, W)."""
    height, width = runs.size_hw
    values = np.arange(len(runs.counts)) % 2 == 1
    return np.repeat(values, runs.counts).reshape(width, height).T


def decode_counts(text: str) -> npt.NDArray[np.int64]:
    """Return the counts of COCO's compressed run lengths.

    The code of pycocotools' ``rleToString``: six bits a character from '0' on, the fifth bit
    says that more follow, the highest value bit is the sign, and from the fourth count on the
    difference to the count before the last is stored.

    Args:
        text: The ``counts`` string of a COCO segmentation.

    Returns:
        int64 (runs,), run lengths in pixels; not yet checked to be non-negative.

    Raises:
        AnnotationError: A character outside of the code, or a number without an end.
    """
    # In UTF-8 whatever is not ASCII is bytes beyond the code; "?" in its place would be in it.
    codes = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        raise AnnotationError("the run-length text is empty")
    if ((codes < 0) | (codes > 63)).any() or codes[-1] & 32:
        raise AnnotationError("the run-length text is damaged")
    starts = np.concatenate(([0], np.flatnonzero((codes & 32) == 0)[:-1] + 1))
    lengths = np.diff(np.append(starts, codes.size))
    if lengths.max() > 8:  # 40 bits; a photo has far fewer pixels
        raise AnnotationError("the run-length text holds a number beyond any photo")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    is_negative = (codes[starts + lengths - 1] & 16) != 0
    numbers = np.where(is_negative, numbers - (1 << (5 * lengths)), numbers)
    counts = numbers.copy()
    # counts[i] = numbers[i] + counts[i - 2] from i = 3 on: two interleaved running sums.
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts


def check_counts(counts: npt.NDArray[np.int64], size_hw: tuple[int, int]) -> None:
    """Refuse run lengths that do not cover exactly the photo.

    Raises:
        AnnotationError: A negative run, or a sum that is not height * width.
    """
    if (counts < 0).any():
        raise AnnotationError("run lengths must not be negative")
    num_pixels = size_hw[0] * size_hw[1]
    # Summed as Python integers where int64 could overflow: a wrapped sum might look right.
    is_sane = counts.max(initial=0) <= num_pixels
    total = int(counts.sum()) if is_sane else sum(counts.tolist())
    if total != num_pixels:
        raise AnnotationError(
            f"run lengths cover {total} pixels, the size {size_hw} has {num_pixels}"
        )
