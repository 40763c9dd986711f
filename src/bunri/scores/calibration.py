"""The reliability curve and the expected calibration error.

A calibrated model is right in 80 % of the pixels that it predicts with a confidence of 80 %.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017: pixels are
sorted into bins of equal width by the probability of their most probable class; the error is the
mean distance between accuracy and confidence over the bins, weighted by their pixels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import IGNORE_INDEX, FloatArray, MaskArray
from bunri.core.errors import InputError
from bunri.scores.confusion import divide
from bunri.scores.metrics import replace_nan

NUM_BINS = 15
_ROUNDING = 1e-4  # since softmax and interpolation in float32 may end a little above 1

Floats = npt.NDArray[np.float64]


def compute_error(counts: Floats) -> Floats:
    """Return the expected calibration error, float64 (...), of bins, float64 (..., 3, 15)."""
    pixels, right, confidence = np.moveaxis(counts, -2, 0)
    return divide(np.abs(right - confidence).sum(-1), pixels.sum(-1))


@dataclass(slots=True, eq=False)
class Calibration:
    """Pixels, correct pixels and sum of confidences of each bin, float64 (3, 15) for each photo.

    Bin i holds confidences from i / 15 up to below (i + 1) / 15; 1 is in the last.
    """

    photos: list[Floats] = field(default_factory=list)

    @property
    def counts(self) -> Floats:
        """Sum over all photos, float64 (3, 15)."""
        return sum(self.photos, start=np.zeros((3, NUM_BINS)))

    @property
    def pixels(self) -> npt.NDArray[np.int64]:
        """Pixels of each bin, int64 (15,)."""
        return np.asarray(self.counts[0], np.int64)

    @property
    def right(self) -> npt.NDArray[np.int64]:
        """Correct pixels of each bin, int64 (15,)."""
        return np.asarray(self.counts[1], np.int64)

    @property
    def confidence(self) -> Floats:
        """Sum of confidences of each bin, float64 (15,)."""
        return np.asarray(self.counts[2], np.float64)

    def add(self, truth: MaskArray, prediction: MaskArray, confidence: FloatArray) -> None:
        """Count a photo.

        Args:
            truth: uint8 (H, W), class index; pixels of 255 are not counted.
            prediction: uint8 (H, W), the most probable class.
            confidence: float32 (H, W), the probability of that class, 0 to 1.

        Raises:
            InputError: Different sizes, or a confidence outside 0 to 1.
        """
        if not truth.shape == prediction.shape == confidence.shape:
            raise InputError(
                f"Truth is {truth.shape}, prediction {prediction.shape}, "
                f"confidence {confidence.shape}: sizes differ."
            )
        counted = truth != IGNORE_INDEX
        values = confidence[counted]
        # Negated, since every comparison with NaN is false.
        wrong = ~((values >= 0) & (values <= 1 + _ROUNDING))
        if wrong.any():
            raise InputError(
                f"A confidence must be a number from 0 to 1; found {values[wrong][0]}."
            )
        bins = np.minimum((values * NUM_BINS).astype(np.intp), NUM_BINS - 1)
        is_right = (truth == prediction)[counted]
        joint = np.bincount(bins + NUM_BINS * is_right, minlength=2 * NUM_BINS)
        right, pixels = joint[NUM_BINS:], joint[:NUM_BINS] + joint[NUM_BINS:]
        total = np.bincount(bins, values, minlength=NUM_BINS)
        self.photos.append(np.stack((pixels, right, total)))

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1; NaN without pixels."""
        return float(compute_error(self.counts))

    def to_json(self) -> dict[str, Any]:
        """Return the error and the reliability curve as plain values."""
        pixels = self.pixels.tolist()
        accuracy = divide(self.right, pixels).tolist()
        confidence = divide(self.confidence, pixels).tolist()
        return {
            "num_photos": len(self.photos),
            "num_pixels": sum(pixels),
            "ece": replace_nan(self.error),
            "bins": [
                {
                    "from": i / NUM_BINS,
                    "to": (i + 1) / NUM_BINS,
                    "pixels": pixels[i],
                    "accuracy": replace_nan(accuracy[i]),
                    "confidence": replace_nan(confidence[i]),
                }
                for i in range(NUM_BINS)
            ],
        }
