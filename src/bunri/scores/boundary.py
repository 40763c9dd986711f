"""Boundary IoU: a score of outlines, where the plain IoU is mostly about the insides.

Cheng, Girshick, Dollár, Berg and Kirillov, "Boundary IoU", CVPR 2021: only those pixels of truth
and prediction count that lie within d of the edge of their class, d being 2 % of the photo's
diagonal. "Within" is defined as in the authors' code: a pixel is left out if the square of
2 d + 1 pixels around it lies in the photo and holds this one class, which is what eroding d times
by 3 x 3 leaves. Photos are added up class by class, as for the global mIoU.
"""

import math

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import IGNORE_INDEX, MaskArray
from bunri.core.errors import InputError
from bunri.scores.confusion import ClassCounts

DISTANCE_SHARE = 0.02
"""Width of the band as a share of the photo's diagonal."""


def find_distance_px(size_hw: tuple[int, int]) -> int:
    """Return the width of the band in pixels, at least 1, for a photo of (height, width)."""
    return max(1, round(DISTANCE_SHARE * math.hypot(*size_hw)))


def find_band(mask: MaskArray, distance_px: int) -> npt.NDArray[np.bool_]:
    """Return the pixels near the edge of their class or of the photo, bool (H, W).

    Ignored pixels (255) make no edge.
    """
    height, width = mask.shape
    band = np.ones(mask.shape, np.bool_)
    if min(height, width) > 2 * distance_px:
        lowest = _slide(mask, 2 * distance_px + 1, np.minimum)
        highest = _slide(np.where(mask == IGNORE_INDEX, 0, mask), 2 * distance_px + 1, np.maximum)
        # Where all is ignored these are 255 and 0, but such pixels are not counted anyway.
        inside = band[distance_px : height - distance_px, distance_px : width - distance_px]
        np.not_equal(lowest, highest, out=inside)
    return band


def count_boundary(truth: MaskArray, prediction: MaskArray, num_classes: int) -> ClassCounts:
    """Count the band pixels of one photo; pixels whose truth is 255 are not counted.

    Returns:
        int64 (C,) each: pixels in the band of the truth, of the prediction, and of both with the
        right class. Their ``iou`` is the boundary IoU.

    Raises:
        InputError: Different sizes.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"Truth is {truth.shape}, prediction {prediction.shape}: sizes differ.")
    height, width = truth.shape
    distance_px = find_distance_px((height, width))
    counted = truth != IGNORE_INDEX
    prediction = np.where(counted, prediction, IGNORE_INDEX)
    of_truth = find_band(truth, distance_px) & counted
    of_prediction = find_band(prediction, distance_px) & counted
    hits = of_truth & of_prediction & (truth == prediction)
    return ClassCounts(
        *(
            np.bincount(mask[pixels], minlength=num_classes)
            for mask, pixels in ((truth, hits), (truth, of_truth), (prediction, of_prediction))
        )
    )


def _slide(mask: MaskArray, side_px: int, pick: np.ufunc) -> MaskArray:
    """Return the least or greatest value of each whole square, uint8 (H - side + 1, W - side + 1).

    Windows are doubled until they are long enough: log2(side) steps along each axis.
    """
    for _ in range(2):
        length = 1
        while length < side_px:
            step = min(length, side_px - length)
            mask = pick(mask[:-step], mask[step:])
            length += step
        mask = mask.T
    return mask
