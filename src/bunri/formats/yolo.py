"""Ultralytics' YOLO format for segmentation: ``data.yaml``, ``images/``, ``labels/``.

Format: https://docs.ultralytics.com/datasets/segment/

A line is one object: a class number, then one polygon in fractions of width and height. There are
no holes and no parts, so an object of several pieces becomes several lines, and a hole is reached
by a cut of no width. Lines have no order: Ultralytics draws smaller objects over larger ones. It
truncates decimals and draws the outline as well; the polygons written here lie a little inside of
the object, so that Ultralytics, OpenCV and pycocotools all fill the same pixels at the photo's own
size.
"""

from pathlib import Path, PurePath

import numpy as np
import yaml

from bunri.core.contracts import BACKGROUND_INDEX, MAX_JSON_BYTES
from bunri.core.errors import AnnotationError, ConfigError, PathError
from bunri.core.files import is_folder
from bunri.core.progress import Progress
from bunri.core.settings import parse_yaml
from bunri.formats.base import Format, ReadOptions
from bunri.formats.naming import cut_suffix, find_files, write_per_photo
from bunri.formats.reading import SetBuilder, make_polygon
from bunri.formats.shapes import to_single_polygons
from bunri.labels.records import LabelledSet, Photo, Polygons
from bunri.labels.rules import OverlapRule

PHOTOS_NAME, LABELS_NAME, SETTINGS_NAME = "images", "labels", "data.yaml"
_DECIMALS = 6
_TOLERANCE = 0.01  # Ultralytics accepts coordinates one per cent outside
_SETTINGS = """\
# Written by bunri. All photos are in one set: use other photos for val before you trust a score.
train: images
val: images
"""


def write_yolo(dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress) -> None:
    """Write ``labels/`` and ``data.yaml``."""
    foreground = [
        id_ for id_ in dataset.category_names if dataset.index_of_category[id_] != BACKGROUND_INDEX
    ]
    number_of = {id_: number for number, id_ in enumerate(foreground)}

    def write_lines(photo: Photo, target: Path) -> None:
        target.write_text(_describe_photo(dataset, photo, number_of), "utf-8")

    def locate(name: str) -> str:
        return _swap_folder(f"{PHOTOS_NAME}/{name}")

    write_per_photo(dataset.photos, path, ".txt", write_lines, progress, locate)
    classes = {number_of[id_]: dataset.category_names[id_] for id_ in foreground}
    listed = yaml.safe_dump({"names": classes}, allow_unicode=True, sort_keys=False)
    (path / SETTINGS_NAME).write_text(_SETTINGS + listed, "utf-8")


def _describe_photo(dataset: LabelledSet, photo: Photo, number_of: dict[int, int]) -> str:
    scale = np.array([photo.width_px, photo.height_px])
    # Half a unit of the last digit must stay below the inset, however wide the photo.
    decimals = max(_DECIMALS, len(str(scale.max())) + 2)
    lines = []
    for annotation in dataset.annotations.get(photo.id, ()):
        assert isinstance(annotation.segmentation, Polygons)  # noqa: S101
        for part in annotation.segmentation.parts:
            fractions = (part.reshape(-1, 2) / scale).ravel().tolist()
            texts = " ".join(f"{value:.{decimals}f}" for value in fractions)
            lines.append(f"{number_of[annotation.category_id]} {texts}\n")
    return "".join(lines)


def read_yolo(path: Path, options: ReadOptions) -> LabelledSet:
    """Read such a folder, or one with a subfolder for each split, as Roboflow exports it.

    The photos are needed, because the label files do not state their sizes.
    """
    names = _read_names(path, options)
    files: dict[str, Path] = {}
    for listed in find_files(path, ".txt"):
        name = listed.relative_to(path)
        if LABELS_NAME in name.parts[:-1]:
            files[cut_suffix(_swap_folder(name.as_posix(), LABELS_NAME, PHOTOS_NAME))] = listed
    if not files:
        raise PathError(f"{path} has no folder {LABELS_NAME!r} with .txt files.")
    # Names of photos start below images/ if all of them are there.
    head = f"{PHOTOS_NAME}/" if all(s.startswith(f"{PHOTOS_NAME}/") for s in files) else ""
    root = options.image_root or path / head
    builder = SetBuilder(path, root if is_folder(root) else path, options, photo_root=root)
    labels: dict[str, Path | None] = {stem.removeprefix(head): f for stem, f in files.items()}
    if options.image_root is None:
        # A photo of the set without a label file shows background only.
        labels |= {
            stem: None
            for stem in builder.photos_on_disk
            if stem not in labels and PHOTOS_NAME in f"{head}{stem}".split("/")[:-1]
        }
    with options.progress("Reading labels", len(labels)) as advance:
        for stem, file in sorted(labels.items()):
            where = file.relative_to(path).as_posix() if file else stem
            with builder.catch(where):
                _read_labels(stem, where, file, names, builder)
            advance()
    return builder.build(names)


def _swap_folder(name: str, old: str = PHOTOS_NAME, new: str = LABELS_NAME) -> str:
    """Return a path with its last folder ``old`` renamed to ``new``, as Ultralytics does."""
    *folders, last = name.split("/")
    place = len(folders) - 1 - folders[::-1].index(old)
    return "/".join([*folders[:place], new, *folders[place + 1 :], last])


def _read_names(path: Path, options: ReadOptions) -> list[str]:
    """Return the class names in ``data.yaml``, or without that file those of the options."""
    files = [file for file in find_files(path, ".yaml", ".yml") if file.parent == path]
    usual = [file for file in files if file.name == SETTINGS_NAME] or files
    if not usual and options.like is not None:
        return [
            n for i, n in options.like.category_names.items() if options.like.index_of_category[i]
        ]
    if not usual and options.table is not None:
        return list(options.table.names[1:])
    if len(usual) != 1:
        raise PathError(
            f"{path} must have one {SETTINGS_NAME} with the class names; it has {len(usual)}.",
            hint="Name the classes with --like OTHER.json or --classes FILE.",
        )
    file = usual[0]
    try:
        settings = parse_yaml(_read_text(file), str(file))
    except ConfigError as error:
        raise AnnotationError(error.message) from error
    names = settings.get("names") if isinstance(settings, dict) else None
    if isinstance(names, dict) and set(names) == {str(n) for n in range(len(names))}:
        names = [names[str(n)] for n in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise AnnotationError(
            f"{file}: 'names' must list the class names, or map 0, 1, 2, ... to them."
        )
    return names


def _read_text(file: Path) -> str:
    size = file.stat().st_size
    if size > MAX_JSON_BYTES:
        raise AnnotationError(f"{file.name} has {size} bytes; the limit is {MAX_JSON_BYTES}")
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file.name} is not UTF-8 text (byte {error.start})") from error


def _read_labels(
    stem: str, where: str, file: Path | None, names: list[str], builder: SetBuilder
) -> None:
    found = builder.find_photo(stem)
    if found is None:
        raise AnnotationError(f"there is no photo {stem!r}; its size is needed (see --images)")
    file_name, (height, width) = found
    photo = builder.add_photo(file_name, height, width)
    text = _read_text(file) if file else ""
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if fields:
            with builder.catch(f"{where}, line {number}"):
                label, polygon = _parse_line(fields, names, photo)
                builder.add_object(where, photo, label, polygon)


def _parse_line(fields: list[str], names: list[str], photo: Photo) -> tuple[str, Polygons]:
    if len(fields) == 5:
        raise AnnotationError("five numbers are a box; a polygon has a class and 3 or more points")
    try:
        class_number, *values = map(float, fields)
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    if class_number not in range(len(names)):
        raise AnnotationError(f"the class must be from 0 to {len(names) - 1}, not {fields[0][:24]}")
    if len(values) < 6 or len(values) % 2:
        raise AnnotationError(f"a polygon has 3 or more points, not {len(values)} numbers")
    far = [v for v in values if not -_TOLERANCE <= v <= 1 + _TOLERANCE]  # beyond, or NaN
    if far:
        raise AnnotationError(f"coordinates must be from 0 to 1, not {far[0]:g}")
    points = np.array(values).reshape(-1, 2) * (photo.width_px, photo.height_px)
    return names[int(class_number)], make_polygon(points.ravel().tolist())


def _recognize(path: PurePath, _head: bytes) -> str:
    is_label = path.suffix == ".txt" and LABELS_NAME in path.parts[:-1]
    return f"a file in {LABELS_NAME}/" if is_label else ""


YOLO = Format(
    "yolo", "YOLO segmentation", "", read_yolo, write_yolo, to_single_polygons,
    file_suffixes=(".txt",), recognize=_recognize, photo_folder=PHOTOS_NAME, is_layered=False,
    keeps_background=False, needs_photos=True,
)  # fmt: skip
