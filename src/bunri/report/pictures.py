"""Photos with their truth and prediction, small enough for a page, and their file.

Masks are kept as runs of one class in reading order, a byte for the class and a variable-length
number for the pixels (7 bits a byte, lowest first, the high bit set on all but the last): the
page's script reads them in a few lines without reading a canvas back, which some browsers
distort with noise against fingerprinting.

``pictures.json`` keeps the worst photos beside an evaluation for the wrap-up. It names the counts
that it belongs to, so that pictures of an earlier evaluation are never shown with later scores.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bunri.core.contracts import ImageArray, MaskArray
from bunri.core.errors import InputError, summarize
from bunri.core.files import hash_file, is_file, write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.images.photos import decode_photo
from bunri.labels.records import Photo
from bunri.report.mistakes import Mistakes
from bunri.report.page import encode_jpeg
from bunri.scores.confusion import ClassCounts
from bunri.scores.metrics import replace_nan
from bunri.scores.result_files import COUNTS_NAME

MAX_PICTURE_BYTES = 180_000
"""Largest size of a photo and its masks, as base64."""
PICTURES_NAME = "pictures.json"
NUM_KEPT = 12
_MAX_FILE_BYTES = 32 * 2**20
_SIDES_PX = (512, 384, 288, 216, 160, 96, 64)
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo as a page shows it: JPEG and runs of both masks as base64.

    Attributes:
        miou: Mean IoU over the classes of its truth and prediction; None if all is ignored.
        size_hw: Height and width of the reduced photo and masks in pixels.
        cells: Confusion at the photo's own size; see :meth:`Mistakes.list_cells`.
    """

    file_name: str
    miou: float | None
    size_hw: tuple[int, int]
    photo: str
    truth: str
    prediction: str
    cells: list[list[int]]


def encode_mask(mask: MaskArray) -> bytes:
    """Return a mask, uint8 (H, W), as runs; see the module's docstring."""
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
                encode_jpeg(Image.fromarray(resize_image(image, size_hw)), _QUALITY),
                encode_mask(resize_mask(truth, size_hw)),
                encode_mask(resize_mask(prediction, size_hw)),
            )
        ]
        if sum(map(len, parts)) <= max_bytes:
            break
    return Picture(
        photo.file_name,
        replace_nan(float(ClassCounts.of(mistakes.matrix).miou)),
        size_hw,
        photo=parts[0],
        truth=parts[1],
        prediction=parts[2],
        cells=mistakes.list_cells(),
    )


def sort_pictures(pictures: Iterable[Picture]) -> list[Picture]:
    """Return photos by their mean IoU, lowest first; those without one come last."""
    return sorted(pictures, key=lambda one: inf if one.miou is None else one.miou)


class _Pictures(JsonRecord):
    """The file ``pictures.json``."""

    format: Literal[1]
    matrices_sha256: str
    pictures: tuple[Picture, ...]


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the first pictures of a page, the worst ones, into an evaluation folder.

    Raises:
        OutputError: They cannot be written.
    """
    content = {
        "format": 1,
        "matrices_sha256": hash_file(folder / COUNTS_NAME),
        "pictures": [asdict(one) for one in pictures[:NUM_KEPT]],
    }
    write_json(folder / PICTURES_NAME, content)


def read_pictures(folder: Path) -> list[Picture]:
    """Return the pictures of an evaluation folder; none if there are none that belong to it.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / PICTURES_NAME
    if not is_file(path):
        return []
    hint = "Make it again with: bunri evaluate MODEL DATA.json --report PAGE.html"
    record = read_json_record(path, _Pictures, max_bytes=_MAX_FILE_BYTES, hint=hint)
    try:
        if record.matrices_sha256 != hash_file(folder / COUNTS_NAME):
            return []
        for picture in record.pictures:
            unpack_picture(picture)
    except (OSError, ValueError, InputError) as error:
        raise InputError(f"{path} is damaged: {summarize(error)}.", hint=hint) from error
    return list(record.pictures)


def unpack_picture(picture: Picture) -> tuple[ImageArray, MaskArray, MaskArray]:
    """Return a picture's photo, uint8 (H, W, 3), and its masks, uint8 (H, W).

    Raises:
        ValueError: They are not base64, or not of the size that the picture states.
        ImageError: The photo cannot be decoded.
    """
    image = decode_photo(base64.b64decode(picture.photo, validate=True))
    if image.shape[:2] != picture.size_hw:
        raise ValueError(f"a photo is {image.shape[:2]}, not {picture.size_hw}")
    truth, prediction = (
        decode_mask(base64.b64decode(packed, validate=True), picture.size_hw)
        for packed in (picture.truth, picture.prediction)
    )
    return image, truth, prediction
