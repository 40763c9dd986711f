"""From a photo to the network frame and back: the one preprocessing.

The *network frame* is the photo scaled so that its longer side is ``size_px``, normalised, and
padded at the bottom and right to a multiple of 32.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from PIL import Image
from pydantic import Field

from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.images.resizing import resize_planes

STRIDE_PX = 32
"""Every encoder here halves five times, so sides of network frames are multiples of this."""
MIN_FRAME_PX = 2 * STRIDE_PX
"""At 32 the deepest features are a single pixel, and a batch of one cannot be normalised."""
MAX_FRAME_PX = 4096
FrameSize = Annotated[int, Field(ge=MIN_FRAME_PX, le=MAX_FRAME_PX)]
Normalization = Literal["none", "imagenet", "half"]


_MEAN_STD: dict[Normalization, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A photo in the network frame, with what is needed to go back.

    Attributes:
        pixels: float32 (3, h, w), normalised, h and w multiples of 32; padding is 0.
        content_hw: Height and width in ``pixels`` that the photo fills, from the top left.
    """

    pixels: FloatArray
    content_hw: tuple[int, int]
    photo_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The resize rule and normalisation of one model; stored in its bundle.

    Attributes:
        size_px: Longer side of the photo in the network frame.
        mean_rgb: Mean of each channel, subtracted from pixels scaled to 0..1.
    """

    size_px: int
    mean_rgb: tuple[float, ...]
    std_rgb: tuple[float, ...]

    @classmethod
    def build(cls, size_px: int, normalization: Normalization) -> Self:
        """Return the preprocessing for a frame size and a named normalisation.

        Args:
            size_px: Longer side of the photo in the network frame, in pixels.
            normalization: ``none``: 0..1; ``imagenet``: ImageNet's mean and standard deviation;
                ``half``: -1..1.
        """
        return cls(size_px, *_MEAN_STD[normalization])

    def prepare(self, image: ImageArray) -> Frame:
        """Return ``image``, uint8 (H, W, 3) RGB, in the network frame."""
        height, width = image.shape[:2]
        content_hw = fit_size_hw((height, width), self.size_px)
        pixels = self.frame(resize_image(image, content_hw))
        return Frame(pixels, content_hw, (height, width))

    def frame(self, content: ImageArray) -> FloatArray:
        """Return a photo that is resized already, uint8 (h, w, 3), normalised and padded."""
        height, width = content.shape[:2]
        frame_hw = pad_to_stride(height), pad_to_stride(width)
        make = np.empty if frame_hw == (height, width) else np.zeros
        pixels = make((3, *frame_hw), np.float32)
        self._normalize_into(content, pixels[:, :height, :width])
        return pixels

    def normalize(self, image: ImageArray) -> FloatArray:
        """Return ``image``, uint8 (H, W, 3), as float32 (3, H, W) with the model's statistics."""
        result = np.empty((3, *image.shape[:2]), np.float32)
        self._normalize_into(image, result)
        return result

    def _normalize_into(self, image: ImageArray, result: FloatArray) -> None:
        scale = 1.0 / (255.0 * np.asarray(self.std_rgb, np.float32))
        shift = np.asarray(self.mean_rgb, np.float32) / np.asarray(self.std_rgb, np.float32)
        for channel, plane in enumerate(result):  # faster than all at once
            np.multiply(image[:, :, channel], scale[channel], out=plane)
            np.subtract(plane, shift[channel], out=plane)


def pad_to_stride(side_px: int) -> int:
    """Return the next multiple of 32."""
    return -(-side_px // STRIDE_PX) * STRIDE_PX


def fit_size_hw(size_hw: tuple[int, int], longer_px: int) -> tuple[int, int]:
    """Return the size with the same aspect whose longer side is ``longer_px``, at least 1."""
    longest = max(size_hw)
    height, width = (max(1, round(side * longer_px / longest)) for side in size_hw)
    return height, width


def resize_image(image: ImageArray, size_hw: tuple[int, int]) -> ImageArray:
    """Return ``image``, uint8 (H, W, 3), at another size: bilinear, antialiased when shrinking."""
    if image.shape[:2] == size_hw:
        return image
    picture = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


def resize_mask(mask: MaskArray, size_hw: tuple[int, int]) -> MaskArray:
    """Return ``mask``, uint8 (H, W), at another size by nearest neighbour; no new values."""
    if mask.shape == size_hw:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size_hw[::-1], Image.Resampling.NEAREST))


def crop_content(
    probs: FloatArray, frame_hw: tuple[int, int], content_hw: tuple[int, int]
) -> FloatArray:
    """Return probabilities without those of the padding.

    Where whole cells hold the content they stay as coarse as they are; where its edge runs through
    cells, they are resized to the frame first.

    Args:
        probs: float32 (C, h / s, w / s) over the frame, at the stride s of the network.
        frame_hw: Height and width of the frame: h, w.
        content_hw: Height and width of its part that is no padding, from the top left.
    """
    height, width = content_hw
    stride = frame_hw[0] // probs.shape[1]
    if height % stride or width % stride:
        probs = resize_planes(probs, frame_hw)
        stride = 1
    return probs[:, : height // stride, : width // stride]
