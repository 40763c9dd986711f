"""Array types, their checks, and the limits on what bunri reads.

Imports nothing of bunri but its errors.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.errors import ImageError, InputError

ImageArray = npt.NDArray[np.uint8]  # (H, W, 3), RGB, upright
MaskArray = npt.NDArray[np.uint8]  # (H, W), index into the class table, 255 = ignore
FloatArray = npt.NDArray[np.float32]


BACKGROUND_INDEX = 0
IGNORE_INDEX = 255
"""Pixels of a mask with this value take no part in losses and scores."""

MAX_PHOTO_BYTES = 64 * 2**20
MAX_PHOTO_PIXELS = 120_000_000
"""Checked on the header, before a single pixel is decoded."""
MAX_PHOTOS_AT_ONCE = 4
"""Photos predicted side by side, one per core; each with its result is in memory."""
MAX_JSON_BYTES = 512 * 2**20
"""A JSON takes six to eight times its size in memory; COCO's own largest file has 449 MiB."""
MAX_COORDINATE_PX = 100_000.0
"""Larger polygon coordinates are mistakes, and drawing them would need unbounded memory."""
MAX_OUTLINE_PX = 2_000_000.0
"""Longest outline of an object; drawing takes about 50 bytes per column that it crosses."""


def check_image(image: npt.NDArray[Any]) -> ImageArray:
    """Return ``image`` if it is uint8 (H, W, 3) with at least one pixel.

    Raises:
        ImageError: Wrong type or shape.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"An image must be a numpy array, not {type(image).__name__}.")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
        return image
    raise ImageError(
        f"An image must be uint8 (H, W, 3) RGB; this one is {image.dtype} {image.shape}.",
        hint=_explain_image(image),
    )


def _explain_image(image: npt.NDArray[Any]) -> str:
    """Return the way from another common kind of array to an image; empty if there is none."""
    shape, ndim = image.shape, image.ndim
    hints = {
        "It has no pixels.": image.size == 0,
        "It looks like a batch: pass its images as a list.": ndim == 4,
        "Its axes look like (3, H, W): use image.transpose(1, 2, 0).": ndim == 3 and shape[0] == 3,
        "It has an alpha channel: use image[:, :, :3].": ndim == 3 and shape[2] == 4,
        "It is grey: use np.stack([image] * 3, axis=2).": ndim == 2,
        "Values in 0..1 become an image by (255 * image).round().astype(np.uint8).": (
            image.dtype.kind == "f"
        ),
    }
    return next((hint for hint, applies in hints.items() if applies), "")


def check_mask(mask: npt.NDArray[Any], num_classes: int) -> MaskArray:
    """Return ``mask`` if it is uint8 (H, W) with values below ``num_classes`` or 255.

    Raises:
        InputError: Wrong type or shape, or a value outside the class table.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise InputError(f"A mask must be uint8 (H, W); this one is {mask.dtype} {mask.shape}.")
    wrong = np.setdiff1d(np.unique(mask), [*range(num_classes), IGNORE_INDEX])
    if wrong.size:
        raise InputError(
            f"Mask values must be below {num_classes} or {IGNORE_INDEX} (ignore); "
            f"found {wrong.tolist()}."
        )
    return mask
