"""Label Studio's JSON export: polygons in per cent, brushes as packed run lengths.

Format: https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks and
https://labelstud.io/tags/brushlabels

Polygons have one part and no holes, so all other objects are written as brushes. A task names its
photo by a URL; photos are written as ``/data/local-files/?d=NAME``, which Label Studio resolves
below the root of its local files.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError
from bunri.core.progress import Progress
from bunri.formats.base import Format, ReadOptions, start_of_text
from bunri.formats.brush import decode_brush, encode_brush
from bunri.formats.naming import cut_suffix, find_single_file
from bunri.formats.reading import SetBuilder, flatten_points, make_polygon
from bunri.formats.shapes import to_polygon_or_mask
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.labels.document import read_json, write_rows
from bunri.labels.outlines import encode_region
from bunri.labels.rasterize import draw_crop
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule

_LOCAL_FILES = "/data/local-files/"
_UPLOADS = "/data/upload/"
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_LABEL_KEYS = ("polygonlabels", "brushlabels", "labels")
_TOLERANCE = 1e-6
_DECIMALS = 8
_GRID = 5
"""pycocotools rounds coordinates to fifths of a pixel."""


def write_label_studio(
    dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress
) -> None:
    """Write the JSON, polygons as polygons and run lengths as brushes."""
    tasks = []
    with progress("Writing labels", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            tasks.append(_describe_photo(dataset, photo))
            advance()
    write_rows(path, tasks)


def _describe_photo(dataset: LabelledSet, photo: Photo) -> dict[str, Any]:
    address = f"{_LOCAL_FILES}?d={quote(photo.file_name, errors='surrogateescape')}"
    results = [
        _describe_object(annotation, dataset.category_names[annotation.category_id], photo)
        for annotation in dataset.annotations.get(photo.id, ())
    ]
    size = {"width": photo.width_px, "height": photo.height_px}
    return {
        "id": photo.id,
        "data": {"image": address, **size},
        "annotations": [{"result": results}],
    }


def _describe_object(annotation: Annotation, label: str, photo: Photo) -> dict[str, Any]:
    shape = annotation.segmentation
    value: dict[str, Any]
    if isinstance(shape, Polygons):
        kind = "polygonlabels"
        value = {"points": _to_percent(shape.parts[0], photo).tolist(), "closed": True}
    else:
        kind = "brushlabels"
        crop, left_top_px = draw_crop(shape, photo.size_hw)
        value = {"format": "rle", "rle": encode_brush(crop, photo.size_hw, left_top_px)}
    return {
        "id": str(annotation.id),
        "type": kind,
        "from_name": kind.removesuffix("labels"),
        "to_name": "image",
        "original_width": photo.width_px,
        "original_height": photo.height_px,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def _to_percent(part: npt.NDArray[np.float64], photo: Photo) -> npt.NDArray[np.float64]:
    """Return points in per cent, (points, 2), that cover the same pixels when they are read back.

    The division may move a coordinate across the limit between two steps of pycocotools' grid;
    such a coordinate is moved to the middle of its step, by 0.1 pixels at most.
    """
    size = np.array([photo.width_px, photo.height_px])
    points = part.reshape(-1, 2)
    step = np.trunc(points * _GRID + 0.5)
    percent = np.round(points / size * 100, _DECIMALS)
    is_same = np.trunc(percent / 100 * size * _GRID + 0.5) == step
    middle = np.round(step / _GRID / size * 100, _DECIMALS)
    return np.asarray(np.where(is_same, percent, middle), np.float64)


def read_label_studio(path: Path, options: ReadOptions) -> LabelledSet:
    """Read the JSON, or the only one in a folder.

    If a task has several annotations, the one marked as ground truth is taken, else the first
    that was not skipped. Predictions are not labels.
    """
    file = find_single_file(path, ".json")
    tasks = read_json(file, "Label Studio")
    if not isinstance(tasks, list):
        raise AnnotationError(f"{file} is not Label Studio's JSON: it must be a list of tasks.")
    if not any(isinstance(task, dict) and "annotations" in task for task in tasks):
        raise AnnotationError(
            f"{file} has no task with 'annotations'.",
            hint="Export as JSON; JSON-MIN and lists of tasks to label have none.",
        )
    root = options.image_root
    builder = SetBuilder(file, root or file.parent, options, photo_root=root)
    for number, task in enumerate(tasks):
        with builder.catch(f"task {number}"):
            _read_task(task, f"task {number}", builder)
    return builder.build()


def _read_task(task: Any, where: str, builder: SetBuilder) -> None:  # noqa: ANN401
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict) or not isinstance(task.get("annotations", []), list):
        raise AnnotationError("it must be an object with 'data' and a list 'annotations'")
    results = _choose_results(task.get("annotations", []), builder)
    file_name, known_hw = _find_photo(data, builder)
    sized = [r for r in results if "original_width" in r or "original_height" in r]
    sizes = {(str(r.get("original_height")), str(r.get("original_width"))) for r in sized}
    if len(sizes) > 1:
        raise AnnotationError(f"its results state different sizes: {sorted(sizes)}")
    stated = sized[0] if sized else {}
    height = stated.get("original_height", data.get("height"))
    width = stated.get("original_width", data.get("width"))
    if height is None and width is None and known_hw is not None:
        height, width = known_hw
    photo = builder.add_photo(file_name, height, width)
    if known_hw is not None and known_hw != photo.size_hw:
        raise AnnotationError(
            f"it states {width}x{height}, the photo {file_name!r} is {known_hw[1]}x{known_hw[0]}"
        )
    for number, result in enumerate(results):
        with builder.catch(f"{where}, result {number}"):
            _read_result(result, f"{where}, result {number}", photo, builder)


def _choose_results(annotations: Sequence[Any], builder: SetBuilder) -> list[dict[str, Any]]:
    """Return the results of the annotation to use; see :func:`read_label_studio`."""
    rows = [row for row in annotations if isinstance(row, dict) and not row.get("was_cancelled")]
    rows.sort(key=lambda row: row.get("ground_truth") is not True)
    for _ in rows[1:]:
        builder.leave_out("further annotation of a task")
    results = rows[0].get("result", []) if rows else []
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        raise AnnotationError("'result' must be a list of objects")
    return results


def _find_photo(data: dict[str, Any], builder: SetBuilder) -> tuple[str, tuple[int, int] | None]:
    """Return the name of a task's photo, and its (height, width) if known."""
    texts = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    names = [name for name in map(_parse_address, texts) if name]
    if not names:
        raise AnnotationError("'data' names no photo")
    name = next((n for n in names if PurePosixPath(n).suffix.lower() in PHOTO_SUFFIXES), names[0])
    # Label Studio renames uploads: it puts eight hex digits and a dash first.
    for stem in (cut_suffix(name), _UPLOAD_PREFIX.sub("", cut_suffix(name))):
        found = builder.find_photo(stem)
        if found is not None:
            return found
    return name, None


def _parse_address(text: str) -> str:
    """Return the relative path of a photo from its URL or path; empty if the text is neither."""
    try:
        address = urlsplit(text.replace("\\", "/"))
    except ValueError:  # such as http://[
        return ""
    local = parse_qs(address.query, errors="surrogateescape").get("d", [])
    if address.path.endswith(_LOCAL_FILES) and local:
        return local[0].lstrip("/")
    path = unquote(address.path, errors="surrogateescape")
    if _UPLOADS in path or len(address.scheme) == 1:  # a drive of Windows
        path = PurePosixPath(path).name
    return path.lstrip("/")


def _read_result(result: dict[str, Any], where: str, photo: Photo, builder: SetBuilder) -> None:
    value = result.get("value")
    if not isinstance(value, dict) or not ("points" in value or "rle" in value):
        builder.leave_out(f"result of the type {str(result.get('type'))[:24]!r}")
        return
    labels = next((value[key] for key in _LABEL_KEYS if key in value), None)
    if labels is None:  # a pair of results: the one with the label has the outline as well
        builder.leave_out("outline without a label")
        return
    if not isinstance(labels, list) or len(labels) != 1:
        raise AnnotationError(f"it must have one label, not {str(labels)[:60]}")
    if result.get("image_rotation"):
        raise AnnotationError("the photo was rotated in Label Studio; undo that there")
    builder.add_object(where, photo, labels[0], _read_outline(value, photo))


def _read_outline(value: dict[str, Any], photo: Photo) -> Segmentation:
    if "rle" in value:
        codes = value["rle"]
        if not isinstance(codes, list):
            raise AnnotationError("'rle' must be a list of integers from 0 to 255")
        return encode_region(decode_brush(codes, photo.size_hw))
    percent = make_polygon(flatten_points(value["points"])).parts[0]
    far = percent[(percent < -_TOLERANCE) | (percent > 100 + _TOLERANCE)]
    if far.size:
        raise AnnotationError(f"points are per cent, from 0 to 100, not {far[0]:g}")
    pixels = percent.reshape(-1, 2) / 100 * (photo.width_px, photo.height_px)
    return make_polygon(pixels.ravel().tolist())


def _recognize(_path: PurePath, head: bytes) -> str:
    return "a list of tasks" if start_of_text(head).startswith("[") else ""


LABEL_STUDIO = Format(
    "label-studio", "Label Studio JSON", ".json", read_label_studio, write_label_studio,
    to_polygon_or_mask, file_suffixes=(".json",), recognize=_recognize,
)  # fmt: skip
