"""Blurs: defocus, motion, zoom and Gaussian.

Kinds and steps follow Hendrycks and Dietterich (2019). Lengths are smaller than theirs, which were
chosen for photos of one large object. Motion and zoom extend to both sides of a pixel, so that
outlines stay in place; theirs extend to one side.
"""

from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from bunri.core.contracts import ImageArray
from bunri.corruptions.scale import draw_direction, measure_unit
from bunri.images.frames import resize_image

DEFOCUS_RADIUS_PX = (2.0, 3.5, 5.5, 8.0, 11.0)
MOTION_LENGTH_PX = (9, 15, 23, 33, 45)
ZOOM = (1.04, 1.07, 1.11, 1.16, 1.22)
"""Ratio of the largest enlargement to the smallest."""
GAUSSIAN_SIGMA_PX = (1.5, 2.5, 4.0, 6.0, 8.5)

_DISK_RADIUS_PX = 3.0  # largest disk; wider blurs are made in a smaller picture
_WEIGHT = 8  # weight of a pixel wholly in the disk: 255 x 8 x 28 pixels fit into 16 bits
_FRACTION_BITS = 7  # fractional bits of values while they are averaged
_ZOOM_DOUBLINGS = 4


def blur_gaussian(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo taken with a greasy or cheap lens."""
    sigma_px = GAUSSIAN_SIGMA_PX[severity - 1] * measure_unit(image)
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma_px)))


def blur_defocus(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo out of focus: each point becomes a disk."""
    radius_px = DEFOCUS_RADIUS_PX[severity - 1] * measure_unit(image)
    factor = max(1.0, radius_px / _DISK_RADIUS_PX)
    height, width = image.shape[:2]
    small = resize_image(image, (max(1, round(height / factor)), max(1, round(width / factor))))
    return resize_image(_average_disk(small, radius_px / factor), (height, width))


def _average_disk(image: ImageArray, radius_px: float) -> ImageArray:
    """Return the mean over a disk around each pixel; pixels on its rim have partial weights."""
    reach = ceil(radius_px)
    height, width = image.shape[:2]
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "symmetric").astype(np.uint16)
    total, sums = 0, np.zeros(image.shape, np.uint16)
    for down in range(reach + 1):
        rows = _add_both(padded, reach, down, height)
        for right in range(reach + 1):
            inside = min(1.0, max(0.0, radius_px + 0.5 - (down * down + right * right) ** 0.5))
            # Pixels on an axis are their own mirror images and would count twice.
            weight = round(_WEIGHT * inside / 2 ** ((down == 0) + (right == 0)))
            if weight:
                columns = _add_both(rows.swapaxes(0, 1), reach, right, width).swapaxes(0, 1)
                sums += columns * np.uint16(weight)
                total += 4 * weight
    return ((sums + total // 2) // total).astype(np.uint8)


def _add_both(
    values: npt.NDArray[np.uint16], start: int, by: int, size: int
) -> npt.NDArray[np.uint16]:
    """Return the sum of the rows ``by`` ahead of and behind each row."""
    ahead: npt.NDArray[np.uint16] = values[start + by : start + by + size]
    return ahead + values[start - by : start - by + size]


def blur_motion(image: ImageArray, severity: int, rng: np.random.Generator) -> ImageArray:
    """Return a photo with motion along a line in any direction."""
    length_px = MOTION_LENGTH_PX[severity - 1] * measure_unit(image)
    is_mirrored = bool(rng.bytes(1)[0] & 1)
    along, across = draw_direction(rng)
    # A run of 2 ** n steps is the mean of two shifted runs of half as many steps.
    num_doublings = max(1, ceil(length_px)).bit_length()
    step_px = length_px / (2**num_doublings - 1)
    moves = [
        (round(step_px * 2**i * along), round(step_px * 2**i * across))
        for i in range(num_doublings)
    ]
    down_px, right_px = (sum(column) for column in zip(*moves, strict=True))
    margins = ((down_px // 2, down_px - down_px // 2), (right_px // 2, right_px - right_px // 2))
    seen = image[:, ::-1] if is_mirrored else image
    values = np.pad(seen, (*margins, (0, 0)), "symmetric").astype(np.uint16) << _FRACTION_BITS
    for down, right in moves:
        height, width = values.shape[0] - down, values.shape[1] - right
        values = (values[:height, :width] + values[down:, right:]) >> 1
    blurred = ((values + (1 << _FRACTION_BITS - 1)) >> _FRACTION_BITS).astype(np.uint8)
    return np.ascontiguousarray(blurred[:, ::-1] if is_mirrored else blurred)


def blur_zoom(image: ImageArray, severity: int, _rng: np.random.Generator) -> ImageArray:
    """Return a photo taken while the camera moved towards its subject."""
    zoom = ZOOM[severity - 1]
    size_px = image.shape[1], image.shape[0]
    margins = [ceil((zoom**0.5 - 1) / 2 * side) + 1 for side in size_px]
    padded = np.pad(image, ((margins[1],) * 2, (margins[0],) * 2, (0, 0)), "symmetric")
    picture = Image.fromarray(padded)
    for doubling in range(_ZOOM_DOUBLINGS):
        factor = zoom ** (2**doubling / (2**_ZOOM_DOUBLINGS - 1))
        inner = tuple(side / factor for side in picture.size)
        picture = Image.blend(picture, _magnify(picture, inner, picture.size), 0.5)
    # Enlargements were 1 to ``zoom``; divided by its square root they go both ways equally.
    inner = tuple(side * zoom**0.5 for side in size_px)
    return np.asarray(_magnify(picture, inner, size_px))


def _magnify(
    picture: Image.Image, inner_px: tuple[float, ...], size_px: tuple[int, int]
) -> Image.Image:
    """Return the middle of a picture, ``inner_px`` (width, height), resized."""
    left, top = ((side - part) / 2 for side, part in zip(picture.size, inner_px, strict=True))
    box = (left, top, left + inner_px[0], top + inner_px[1])
    return picture.resize(size_px, Image.Resampling.BILINEAR, box=box)
