"""Photos whose colours tell the class of every pixel, so that a mask gone astray shows."""

import numpy as np

from bunri.training.config import AugmentConfig
from tests.builders import GROUND_RGB, SHAPE_RGB, Shape, draw_photo, draw_truth

PLAIN = {
    "crop_size_px": None,
    **dict.fromkeys(("hflip", "vflip", "brightness", "contrast", "saturation", "hue"), 0.0),
}
"""Settings of ``augment`` that change nothing."""
EVERYTHING = {
    **dict.fromkeys(("hflip", "vflip"), 0.5),
    **dict.fromkeys(("brightness", "contrast", "saturation"), 0.4),
    "hue": 0.03,
    **dict.fromkeys(
        ("quarter_turn", "rotate", "crop_object", "grid", "elastic", "clahe", "blur", "jpeg",
         "noise", "shadow", "cutmix", "classmix", "paste"), 1.0,
    ),
}  # fmt: skip
"""Settings of ``augment`` with every change on."""
SHAPES = [Shape(5, 6, 4, 30, 26), Shape(7, 36, 10, 60, 50)]
_COLORS = np.array([GROUND_RGB, *SHAPE_RGB.values()], np.float64)
_INDICES = np.array([0, *SHAPE_RGB], np.uint8)


def change_nothing_but(**changes):
    return AugmentConfig.model_validate({**PLAIN, **changes})


def paint(size_hw, shapes=SHAPES):
    """Return a photo and its mask."""
    return np.array(draw_photo(shapes, size_hw)), draw_truth(shapes, size_hw)


def classify(image):
    """Return the class whose colour each pixel is nearest to, uint8 (H, W)."""
    distances = ((image[:, :, None] - _COLORS) ** 2).sum(-1)
    return _INDICES[distances.argmin(-1)]


def classify_by_hue(image):
    """Return the same by the direction in which colours differ from grey, however light."""

    def point(colors):
        away = colors - colors.mean(-1, keepdims=True)
        length = np.linalg.norm(away, axis=-1, keepdims=True)
        return np.where(length < 6, 0, away / np.maximum(length, 1))

    distances = ((point(image[:, :, None].astype(np.float64)) - point(_COLORS)) ** 2).sum(-1)
    return _INDICES[distances.argmin(-1)]


def find_inside(mask):
    """Return where a mask is constant in the 5 x 5 around a pixel: away from edges."""
    inside = np.ones(mask.shape, bool)
    padded = np.pad(mask, 2, constant_values=254)
    for dy in range(5):
        for dx in range(5):
            inside &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]] == mask
    return inside
