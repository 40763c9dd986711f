"""A photo with its truth and its prediction, small enough for a page.

Owns how small they are made and how masks are packed. Knows nothing of pages.

Masks are kept as runs of one class in reading order, a byte for the class and a variable-length
number for the pixels (7 bits a byte, lowest first, the high bit set on all but the last): the
page's script reads them in a few lines, and needs no canvas to be read back, which some browsers
answer with noise to hinder fingerprinting.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bunri.core.contracts import ImageArray, MaskArray
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.labels.records import Photo
from bunri.report.mistakes import Mistakes
from bunri.scores.confusion import ClassCounts

MAX_PICTURE_BYTES = 180_000
"""Of a photo and its masks, as base64."""
_SIDES_PX = (512, 384, 288, 216, 160, 96, 64)
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo as a page shows it.

    Attributes:
        file_name: As in the annotation file.
        photo_hw: Height and width of the photo itself in pixels.
        miou: Mean IoU over the classes of its truth and prediction; NaN if all is ignored.
        size_hw: Height and width of the reduced photo and masks in pixels.
        photo: JPEG, base64.
        truth: Mask as runs, base64.
        prediction: The same.
        cells: See :meth:`Mistakes.list_cells`; at the photo's own size.
    """

    file_name: str
    photo_hw: tuple[int, int]
    miou: float
    size_hw: tuple[int, int]
    photo: str
    truth: str
    prediction: str
    cells: list[list[int]]


def encode_mask(mask: MaskArray) -> bytes:
    """Return a mask, uint8 (H, W), as runs; see the head of this file."""
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    packed = bytearray()
    for value, length in zip(flat[ends].tolist(), np.diff(ends, prepend=-1).tolist(), strict=True):
        packed.append(value)
        while length > 127:
            packed.append(length & 127 | 128)
            length >>= 7  # noqa: PLW2901 (the rest of the number)
        packed.append(length)
    return bytes(packed)


def decode_mask(packed: bytes, size_hw: tuple[int, int]) -> MaskArray:
    """Return what :func:`encode_mask` packed, uint8 (H, W).

    Raises:
        ValueError: The runs are damaged, or are not of this size.
    """
    values, lengths = [], []
    content = iter(packed)
    for value in content:
        length = shift = 0
        for byte in content:
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128 or shift > 28:
                break
        values.append(value)
        lengths.append(length)
    height, width = size_hw
    if sum(lengths) != height * width:
        raise ValueError(f"the runs are not {height} x {width} pixels")
    return np.repeat(np.array(values, np.uint8), lengths).reshape(size_hw)


def make_picture(
    photo: Photo,
    image: ImageArray,
    truth: MaskArray,
    prediction: MaskArray,
    mistakes: Mistakes,
    max_bytes: int = MAX_PICTURE_BYTES,
) -> Picture:
    """Return a photo with its masks, reduced until all three fit into ``max_bytes`` of base64."""
    longer_px = max(photo.size_hw)
    for side_px in _SIDES_PX:
        size_hw = fit_size_hw(photo.size_hw, min(side_px, longer_px))
        parts = [
            base64.b64encode(part).decode()
            for part in (
                _encode_photo(resize_image(image, size_hw)),
                encode_mask(resize_mask(truth, size_hw)),
                encode_mask(resize_mask(prediction, size_hw)),
            )
        ]
        if sum(map(len, parts)) <= max_bytes:
            break
    return Picture(
        file_name=photo.file_name,
        photo_hw=photo.size_hw,
        miou=float(ClassCounts.of(mistakes.matrix).miou),
        size_hw=size_hw,
        photo=parts[0],
        truth=parts[1],
        prediction=parts[2],
        cells=mistakes.list_cells(),
    )


def _encode_photo(image: ImageArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
