"""Damage from storing and sending: JPEG compression and too few pixels.

JPEG qualities are those of Hendrycks and Dietterich (2019); the shares of pixels are smaller than
theirs, which were chosen for photos of 224 pixels.
"""

import io

import numpy as np
from PIL import Image

from bunri.core.contracts import ImageArray
from bunri.corruptions.scale import REFERENCE_PX
from bunri.images.frames import fit_size_hw
from bunri.images.photos import decode_photo

JPEG_QUALITY = (25, 18, 15, 10, 7)
PIXEL_SHARE = (0.5, 0.36, 0.26, 0.19, 0.13)
"""Share of the sides of the photo, or of the reference photo if that is smaller."""


def compress_jpeg(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo after JPEG compression, whose blocks of 8 pixels harm large photos less."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY[severity - 1])
    return decode_photo(buffer.getvalue())


def pixelate(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo of a small sensor, enlarged without smoothing."""
    height, width = image.shape[:2]
    longer_px = PIXEL_SHARE[severity - 1] * min(REFERENCE_PX, max(height, width))
    small_hw = fit_size_hw((height, width), max(1, round(longer_px)))
    picture = Image.fromarray(image).resize(small_hw[::-1], Image.Resampling.BOX)
    return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
