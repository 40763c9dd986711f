"""LabelMe: one JSON beside each photo.

Owns the JSON and ``labels.txt``, which names the classes for LabelMe's ``--labels``. The format:
https://github.com/wkentaro/labelme, ``labelme/_label_file.py`` and ``labelme/_utils/shape.py``

Later shapes lie on top, so objects are written in the order of painting. Shapes of one label and
``group_id`` are one object. Photos lie beside the JSONs: LabelMe opens no JSON without its photo.
"""

import base64
import binascii
import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError, PathError
from bunri.core.files import is_file, is_folder, join_under
from bunri.core.progress import Progress
from bunri.formats.coco import shorten_numbers
from bunri.formats.naming import cut_suffix, find_files, name_outputs, refuse_unprintable, tidy_name
from bunri.formats.reading import PhotoFinder, ReadOptions, SetBuilder
from bunri.images.photos import decode_photo
from bunri.labels.document import read_json
from bunri.labels.outlines import encode_region
from bunri.labels.records import LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule
from bunri.labels.segmentations import parse_polygon

LABELS_NAME = "labels.txt"
_VERSION = "5.5.0"
_IGNORE, _BACKGROUND = "__ignore__", "_background_"
_CIRCLE_POINTS = 360


def write_labelme(dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress) -> None:
    """Write a JSON per photo and ``labels.txt`` into the folder ``path``.

    Args:
        dataset: Polygons only, in the order of painting.
        path: An empty folder.
        progress: Shown.

    Raises:
        InputError: A class name that ``labels.txt`` cannot hold.
    """
    refuse_unprintable(dataset.category_names.values(), "LabelMe's labels.txt")
    names = name_outputs(dataset.photos, ".json")
    with progress("Writing labels", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            target = join_under(path, names[photo.id])
            target.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(_describe_photo(dataset, photo), ensure_ascii=False)
            target.write_bytes(text.encode("utf-8", "backslashreplace"))
            advance()
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
                "points": _pair_up(part),
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


def _pair_up(part: npt.NDArray[np.float64]) -> list[list[float]]:
    values = shorten_numbers(part.tolist())
    return [[x, y] for x, y in zip(values[::2], values[1::2], strict=True)]


def read_labelme(path: Path, options: ReadOptions) -> LabelledSet:
    """Read one JSON of LabelMe, or all of them below a folder.

    Raises:
        AnnotationError: With all faults.
    """
    folder = path if is_folder(path) else path.parent
    files = find_files(path, ".json") if is_folder(path) else [path]
    if not files:
        raise PathError(f"{path} has no JSON of LabelMe.")
    root = options.image_root or folder
    builder = SetBuilder(path, root, options)
    finder = PhotoFinder(root, options)
    with options.progress("Reading labels", len(files)) as advance:
        for file in files:
            name = file.relative_to(folder).as_posix()
            with builder.catch(name):
                _read_photo(read_json(file, "LabelMe"), name, builder, finder)
            advance()
    return builder.build(_read_labels(folder / LABELS_NAME))


def _read_labels(file: Path) -> list[str] | None:
    """Return the classes in a ``labels.txt``; None without one, or if it is something else."""
    if not is_file(file):
        return None
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        return None
    return [line for line in lines if line and line not in (_IGNORE, _BACKGROUND)] or None


def _read_photo(document: Any, name: str, builder: SetBuilder, finder: PhotoFinder) -> None:  # noqa: ANN401
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise AnnotationError("not a JSON of LabelMe: it must be an object with a list 'shapes'")
    stated = document.get("imagePath")
    if not isinstance(stated, str) or not stated:
        raise AnnotationError(f"'imagePath' must be text, not {str(stated)[:40]!r}")
    # The photo may have lain elsewhere, even on Windows; here it is beside its JSON.
    beside = PurePosixPath(name).parent / PurePosixPath(stated.replace("\\", "/")).name
    file_name, size = beside.as_posix(), (document.get("imageHeight"), document.get("imageWidth"))
    if size == (None, None):
        found = finder.find(cut_suffix(file_name))
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
    """Return the outline of a shape; None for those that enclose nothing, such as lines."""
    points = _read_points(shape.get("points"))
    kind = shape.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return Polygons((parse_polygon([v for point in points for v in point]),))
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return Polygons((parse_polygon([x0, y0, x1, y0, x1, y1, x0, y1]),))
    if kind == "circle" and len(points) == 2:
        return Polygons((parse_polygon(_draw_circle(*points)),))
    if kind == "mask":
        return _read_mask(shape.get("mask"), points[0] if points else (0.0, 0.0), photo)
    return None


def _read_points(value: object) -> list[tuple[float, float]]:
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise AnnotationError("'points' must be a list of [x, y]")
    parse_polygon([v for point in value for v in point])  # numbers, and no wild ones
    return [(x, y) for x, y in value]


def _draw_circle(center: Sequence[float], edge: Sequence[float]) -> list[float]:
    radius = math.dist(center, edge)
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + center
    flat: list[float] = points.ravel().tolist()
    return flat


def _read_mask(value: object, corner_xy: tuple[float, float], photo: Photo) -> Segmentation:
    """Return the region of a mask: a PNG in base64, whose first point says where it lies."""
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
