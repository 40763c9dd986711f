"""The worst photos of an evaluation, kept beside it so that a wrap-up can show them.

Owns ``pictures.json``. It names the counts that it belongs to, so that pictures of an earlier
evaluation are never shown with the figures of a later one.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bunri.core.contracts import ImageArray
from bunri.core.errors import InputError, summarize
from bunri.core.files import hash_file, is_file, write_json
from bunri.images.photos import decode_photo
from bunri.report.pictures import Picture, decode_mask
from bunri.scores.metrics import replace_nan
from bunri.scores.result_files import COUNTS_NAME

PICTURES_NAME = "pictures.json"
NUM_KEPT = 12
FORMAT_VERSION = 1
_MAX_FILE_BYTES = 32 * 2**20


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the first pictures of a page, the worst ones, into an evaluation folder.

    Raises:
        OutputError: It cannot be written.
    """
    rows = [asdict(one) | {"miou": replace_nan(one.miou)} for one in pictures[:NUM_KEPT]]
    content = {
        "format": FORMAT_VERSION,
        "matrices_sha256": hash_file(folder / COUNTS_NAME),
        "pictures": rows,
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
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {_MAX_FILE_BYTES} bytes")
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT_VERSION:
            return []
        if content["matrices_sha256"] != hash_file(folder / COUNTS_NAME):
            return []
        return [_parse_picture(row) for row in content["pictures"][:NUM_KEPT]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, InputError) as error:
        raise InputError(
            f"{path} is damaged: {summarize(error)}.",
            hint="Make it again with: bunri evaluate MODEL DATA.json --report PAGE.html",
        ) from error


def _parse_picture(row: dict[str, Any]) -> Picture:
    """Return a picture whose photo and masks are what they shall be.

    Raises:
        ValueError: They are not; so do TypeError, KeyError and ImageError.
    """
    height, width = row["size_hw"]
    photo_hw = row["photo_hw"]
    miou = row["miou"]
    picture = Picture(
        file_name=str(row["file_name"]),
        photo_hw=(int(photo_hw[0]), int(photo_hw[1])),
        miou=float("nan") if miou is None else float(miou),
        size_hw=(int(height), int(width)),
        photo=row["photo"],
        truth=row["truth"],
        prediction=row["prediction"],
        cells=[[int(number) for number in cell] for cell in row["cells"]],
    )
    unpack_photo(picture)
    for packed in (picture.truth, picture.prediction):
        decode_mask(base64.b64decode(packed, validate=True), picture.size_hw)
    return picture


def unpack_photo(picture: Picture) -> ImageArray:
    """Return the photo of a picture, uint8 (H, W, 3).

    Raises:
        ValueError: It is not base64, or not of the size that the picture says.
        ImageError: It cannot be decoded.
    """
    image = decode_photo(base64.b64decode(picture.photo, validate=True))
    if image.shape[:2] != picture.size_hw:
        raise ValueError(f"a photo is {image.shape[:2]}, not {picture.size_hw}")
    return image
