"""Light: too little, too much, too flat.

Brightness is that of Hendrycks and Dietterich (2019), but computed in linear light as in a camera;
contrast is theirs at lower strengths; darkness is not among theirs.
"""

import numpy as np
from PIL import Image

from bunri.core.contracts import ImageArray
from bunri.corruptions.noise import apply_table, make_gaussian_table

DARK_STOPS = (1.0, 1.8, 2.6, 3.4, 4.2)
"""Stops of exposure; each halves the light."""
DARK_SIGMA = (0.004, 0.008, 0.014, 0.022, 0.032)
"""Sensor noise at that light, as a share of white."""
BRIGHT_STOPS = (0.5, 0.9, 1.3, 1.7, 2.2)
CONTRAST = (0.6, 0.45, 0.33, 0.22, 0.14)
"""Share of the distance from the mean colour that is left."""


def darken(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo of a badly lit hall or of the evening: dark and noisy."""
    dark = _expose(image, -DARK_STOPS[severity - 1])
    return apply_table(dark, make_gaussian_table(DARK_SIGMA[severity - 1]), rng)


def brighten(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return an overexposed photo: bright areas become white."""
    return _expose(image, BRIGHT_STOPS[severity - 1])


def reduce_contrast(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo in flat light: pixels move towards the photo's mean colour."""
    left = CONTRAST[severity - 1]
    num_pixels = image.shape[0] * image.shape[1]
    means = [int(total) / num_pixels for total in image.sum((0, 1), dtype=np.int64)]
    table = [round(mean + left * (value - mean)) for mean in means for value in range(256)]
    return np.asarray(Image.fromarray(image).point(table))


def _expose(image: ImageArray, stops: float) -> ImageArray:
    """Return a photo with 2 ** stops times the light, computed in linear sRGB."""
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.minimum(linear * 2.0**stops, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    table = np.rint(255 * values).astype(np.uint8)
    exposed: ImageArray = table[image]
    return exposed
