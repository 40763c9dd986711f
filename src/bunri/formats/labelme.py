"""LabelMe: one JSON beside each photo, and ``labels.txt`` with the class names.

Format: https://github.com/wkentaro/labelme, ``labelme/_label_file.py`` and
``labelme/_utils/shape.py``. Later shapes lie on top; shapes with the same label and ``group_id``
are one object. LabelMe does not open a JSON without its photo beside it.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np

from bunri.core.errors import AnnotationError, PathError
from bunri.core.files import is_file, is_folder
from bunri.core.progress import Progress
from bunri.formats.base import Format, ReadOptions, start_of_text
from bunri.formats.coco import pair_points
from bunri.formats.naming import (
    cut_suffix,
    find_files,
    refuse_unprintable,
    tidy_name,
    write_per_photo,
)
from bunri.formats.reading import SetBuilder, flatten_points, make_polygon
from bunri.formats.shapes import to_inset_polygons
from bunri.images.photos import decode_photo
from bunri.labels.document import read_json
from bunri.labels.outlines import encode_region
from bunri.labels.records import LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule

LABELS_NAME = "labels.txt"
_VERSION = "5.5.0"
_IGNORE, _BACKGROUND = "__ignore__", "_background_"
_CIRCLE_POINTS = 360


def write_labelme(dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress) -> None:
    """Write a JSON per photo and ``labels.txt``."""
    refuse_unprintable(dataset.category_names.values(), "LabelMe's labels.txt")

    def write_json(photo: Photo, target: Path) -> None:
        text = json.dumps(_describe_photo(dataset, photo), ensure_ascii=False)
        target.write_bytes(text.encode("utf-8", "backslashreplace"))

    write_per_photo(dataset.photos, path, ".json", write_json, progress)
    lines = [_IGNORE, _BACKGROUND, *dataset.category_names.values()]
    (path / LABELS_NAME).write_text("\n".join(lines) + "\n", "utf-8")


def _describe_photo(dataset: LabelledSet, photo: Photo) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = []
    for group, annotation in enumerate(dataset.annotations.get(photo.id, ()), start=1):
        assert isinstance(annotation.segmentation, Polygons)  # noqa: S101
        parts = annotation.segmentation.parts
        shapes += [
            {
                "label": dataset.category_names[annotation.category_id],
                "points": pair_points(part.tolist()),
                "group_id": group if len(parts) > 1 else None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
            }
            for part in parts
        ]
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(tidy_name(photo.file_name)).name,
        "imageData": None,
        "imageHeight": photo.height_px,
        "imageWidth": photo.width_px,
    }


def read_labelme(path: Path, options: ReadOptions) -> LabelledSet:
    """Read one JSON of LabelMe, or all of them below a folder."""
    folder = path if is_folder(path) else path.parent
    files = find_files(path, ".json") if is_folder(path) else [path]
    if not files:
        raise PathError(f"{path} has no JSON of LabelMe.")
    root = options.image_root or folder
    builder = SetBuilder(path, root, options, photo_root=root)

    def read(file: Path, name: str) -> None:
        _read_photo(read_json(file, "LabelMe"), name, builder)

    builder.read_files(files, folder, read)
    return builder.build(_read_labels(folder / LABELS_NAME))


def _read_labels(file: Path) -> list[str] | None:
    """Return the classes in a ``labels.txt``; None if there is no such file or it is not text."""
    if not is_file(file):
        return None
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        return None
    return [line for line in lines if line and line not in (_IGNORE, _BACKGROUND)] or None


def _read_photo(document: Any, name: str, builder: SetBuilder) -> None:  # noqa: ANN401
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise AnnotationError("not a JSON of LabelMe: it must be an object with a list 'shapes'")
    stated = document.get("imagePath")
    if not isinstance(stated, str) or not stated:
        raise AnnotationError(f"'imagePath' must be text, not {str(stated)[:40]!r}")
    # The path may be from another computer, even from Windows; here the photo is beside its JSON.
    beside = PurePosixPath(name).parent / PurePosixPath(stated.replace("\\", "/")).name
    file_name, size = beside.as_posix(), (document.get("imageHeight"), document.get("imageWidth"))
    if size == (None, None):
        found = builder.find_photo(cut_suffix(file_name))
        if found is None:
            raise AnnotationError(f"it states no size, and there is no photo {file_name!r}")
        size = found[1]
    photo = builder.add_photo(file_name, *size)
    for number, shape in enumerate(document["shapes"]):
        where = f"{name}, shape {number}"
        with builder.catch(where):
            if not isinstance(shape, dict):
                raise AnnotationError("a shape must be an object")
            label = shape.get("label")
            segmentation = None if label == _IGNORE else _read_shape(shape, photo)
            if segmentation is None:
                kind = "to be ignored" if label == _IGNORE else str(shape.get("shape_type"))[:24]
                builder.leave_out(f"shape ({kind})")
            else:
                label = "background" if label == _BACKGROUND else label
                builder.add_object(where, photo, label, segmentation, shape.get("group_id"))


def _read_shape(shape: dict[str, Any], photo: Photo) -> Segmentation | None:
    """Return the outline of a shape; None for shapes that enclose nothing, such as lines."""
    points = _read_points(shape.get("points"))
    kind = shape.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return make_polygon([v for point in points for v in point])
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return make_polygon([x0, y0, x1, y0, x1, y1, x0, y1])
    if kind == "circle" and len(points) == 2:
        return make_polygon(_draw_circle(*points))
    if kind == "mask":
        return _read_mask(shape.get("mask"), points[0] if points else (0.0, 0.0), photo)
    return None


def _read_points(value: object) -> list[tuple[float, float]]:
    flat = make_polygon(flatten_points(value)).parts[0].tolist()  # checks the coordinates
    return list(zip(flat[::2], flat[1::2], strict=True))


def _draw_circle(center: Sequence[float], edge: Sequence[float]) -> list[float]:
    radius = math.dist(center, edge)
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + center
    flat: list[float] = points.ravel().tolist()
    return flat


def _read_mask(value: object, corner_xy: tuple[float, float], photo: Photo) -> Segmentation:
    """Return the region of a mask: a PNG in base64 whose top left corner is the first point."""
    if not isinstance(value, str):
        raise AnnotationError("'mask' must be a PNG in base64")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AnnotationError(f"'mask' is not base64: {error}") from error
    patch = decode_photo(content, name="'mask'")[..., 0] > 0
    x, y = (round(v) for v in corner_xy)
    height, width = photo.size_hw
    inside = patch[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    if not inside.size:
        raise AnnotationError(f"'mask' lies outside of the photo, at ({x}, {y})")
    return encode_region(inside, photo.size_hw, (max(0, x), max(0, y)))


def _recognize(_path: PurePath, head: bytes) -> str:
    text = start_of_text(head)
    has_shapes = text.startswith("{") and re.search(r'"shapes"\s*:\s*\[', text)
    return "'shapes'" if has_shapes else ""


LABELME = Format(
    "labelme", "LabelMe", "", read_labelme, write_labelme, to_inset_polygons,
    file_suffixes=(".json",), recognize=_recognize, needs_photos=True,
)  # fmt: skip
