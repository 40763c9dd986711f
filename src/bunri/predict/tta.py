"""Test-time augmentation: several views of a photo, and the mean of their probabilities.

Views are made after resizing, of the pixels that the network would get anyway, so that flips and
turns are undone exactly, without interpolation. Scales are made from the photo itself, not from its
reduced copy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray, ImageArray
from bunri.images.frames import resize_image
from bunri.images.resizing import resize_planes
from bunri.predict.settings import PredictionSettings

RunFrame = Callable[[ImageArray], FloatArray]
"""Function from network content, uint8 (h, w, 3), to probabilities, float32 (C, h, w)."""


@dataclass(frozen=True, slots=True)
class View:
    """A view of a photo: at a scale, turned, then mirrored left to right."""

    is_mirrored: bool = False
    quarter_turns: int = 0
    scale: float = 1.0

    @property
    def is_upright(self) -> bool:
        """Whether the photo is neither mirrored nor turned."""
        return not self.is_mirrored and self.quarter_turns == 0

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return pixels, (h, w, ...), turned anticlockwise and mirrored; the scale is not used."""
        turned = np.rot90(pixels, self.quarter_turns, axes=(0, 1))
        return np.ascontiguousarray(turned[:, ::-1] if self.is_mirrored else turned)

    def scale_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the view's size of a photo that is ``size_hw`` at scale 1."""
        height, width = (max(1, round(side * self.scale)) for side in size_hw)
        return height, width

    def undo(self, probs: FloatArray) -> FloatArray:
        """Return planes of a view, (C, h, w), mirrored and turned back."""
        straight = probs[:, :, ::-1] if self.is_mirrored else probs
        return np.rot90(straight, -self.quarter_turns, axes=(1, 2))


def list_views(settings: PredictionSettings) -> list[View]:
    """Return the views of settings, each once, the upright photo first."""
    poses = [(False, 0)]
    for is_mirrored, turns in (
        *[(True, 0)] * ("horizontal" in settings.flips),
        *[(True, 2)] * ("vertical" in settings.flips),
        *[(False, 2)] * (len(settings.flips) == 2),
    ):
        poses.append((is_mirrored, turns))
    if settings.turns:
        poses = [(m, t) for m in sorted({m for m, _ in poses}) for t in range(4)]
    return [View(m, turns, scale) for scale in settings.scales for m, turns in poses]


def predict_views(
    image: ImageArray, size_hw: tuple[int, int], views: list[View], run: RunFrame
) -> FloatArray:
    """Return the mean probabilities over views, float32 (C, h, w).

    Args:
        image: Photo or a part of it, uint8 (H, W, 3).
        size_hw: Height and width of the result: h, w.
        views: Views; at least one.
        run: See ``RunFrame``.
    """
    total: FloatArray | None = None
    for view in views:
        seen = resize_image(image, view.scale_hw(size_hw))
        probs = view.undo(run(view.apply(seen)))
        if probs.shape[1:] != size_hw:
            probs = resize_planes(probs, size_hw)
        if total is None:
            total = np.array(probs, np.float32)
        else:
            total += probs
    assert total is not None  # noqa: S101 (there is a view)
    if len(views) > 1:
        total /= len(views)
    return total
