"""What trained models are sure of on photos without labels, as labels to train on.

Owns how teachers agree, when they are sure enough, and what the file says of its origin. How a
file is known as one of pseudo-labels is ``annotations.pseudo``'s.

A pixel that no class is sure enough of is ignored in training, as 255 in a mask. Background is a
class like the others: where teachers are unsure of it, nothing is learned.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, FloatArray, ImageArray, MaskArray
from bunri.core.errors import ImageError, InputError, ModelError, PathError
from bunri.core.files import hash_file, is_folder
from bunri.core.version import __version__
from bunri.formats.coco import describe_coco_set
from bunri.formats.naming import list_photos
from bunri.images.photos import read_size_hw
from bunri.images.planes import choose_classes
from bunri.labels.coco import SOFT_KEY, read_coco, require_photos
from bunri.labels.outlines import encode_region
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.pseudo import INFO_KEY, describe_teacher
from bunri.labels.records import Annotation, LabelledSet, Photo, RunLengths, SoftLabels
from bunri.labels.run_lengths import count_pixels
from bunri.labels.soft import Planes, shrink_plane, write_planes
from bunri.predict.ensemble import list_differences
from bunri.predict.predictor import Predictor

HARD_THRESHOLD, SOFT_THRESHOLD = 0.7, 0.0
"""Of probabilities, by default, no pixel is left out: how unsure it is, is part of what it says."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that labels.

    Attributes:
        name: As given on the command line.
        predictor: The model.
    """

    name: str
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class SoftPlace:
    """Where probabilities are written.

    Attributes:
        folder: As it lies now.
        name: Of the folder in the end, relative to the COCO file.
    """

    folder: Path
    name: str

    def write(self, file_name: str, planes: Planes) -> SoftLabels:
        """Write a photo's probabilities; return where they will be."""
        path = self.folder / file_name
        write_planes(path, planes)
        return SoftLabels(f"{self.name}/{file_name}", hash_file(path))


def require_one_table(teachers: Sequence[Teacher]) -> ClassTable:
    """Return the class table that all teachers share; names decide, colours do not.

    Raises:
        ModelError: They differ; each difference to the first one is listed.
    """
    problems = list_differences([(t.name, t.predictor.table) for t in teachers])
    if problems:
        raise ModelError(
            "Teachers label together, so they must have one class table; these differ:",
            problems=problems,
            hint="Make a file of labels with each of them.",
        )
    return teachers[0].predictor.table


def parse_thresholds(table: ClassTable, default: float, texts: Sequence[str]) -> FloatArray:
    """Return how sure teachers must be of each class, float32 (C,).

    Args:
        table: The classes.
        default: Of classes that are not named, 0 to 1.
        texts: ``NAME=NUMBER`` each, no class twice.

    Raises:
        InputError: Something else; all faults are listed.
    """
    thresholds = np.full(len(table), default, np.float32)
    problems, seen = [], set()
    for text in texts:
        name, sign, number = text.rpartition("=")
        if not sign:
            problems.append(f"{text!r}: there is no '='")
            continue
        try:
            index = table.index_of(name)
            value = float(number)
        except InputError as error:
            problems.append(f"{text!r}: {error.message}")
            continue
        except ValueError:
            problems.append(f"{text!r}: {number!r} is not a number")
            continue
        if not 0 <= value <= 1:
            problems.append(f"{text!r}: a probability is from 0 to 1")
        if index in seen:
            problems.append(f"{text!r}: {table.names[index]!r} was given before")
        seen.add(index)
        thresholds[index] = value
    if problems:
        raise InputError(
            "--class-threshold takes NAME=NUMBER, such as Glass=0.5:", problems=problems
        )
    return thresholds


def find_unlabelled(path: Path, image_root: Path | None, table: ClassTable) -> LabelledSet:
    """Return photos to label: those that a COCO file lists, or all below a folder.

    Labels that the file may hold are not looked at.

    Args:
        path: The file or folder.
        image_root: Where the file's photos are, None for beside it; no meaning for a folder.
        table: The classes that they will be labelled with.

    Raises:
        PathError: There is no such file, folder or photo.
        AnnotationError: The file cannot be used, or photos are missing.
        ImageError: A photo has another size than the file states, or none in the folder can be
            read; all of them are listed.
    """
    if not is_folder(path):
        listed = read_coco(path, image_root=image_root, table=table, takes_labels=False)
        check_photo_headers(require_photos(listed))
        return listed
    names = sorted(name for names in list_photos(path).values() for name in names)
    if not names:
        raise PathError(f"{path} holds no photo.")
    photos, problems = [], []
    for number, name in enumerate(names):
        try:
            photos.append(Photo(number, name, *read_size_hw(path / name)))
        except ImageError as error:
            problems.append(error.message)
    if problems:
        raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems)
    return LabelledSet(path, path, tuple(photos), {}, {}, table, is_labelled=False)


def label_photo(
    teachers: Sequence[Teacher], image: ImageArray, thresholds: FloatArray
) -> tuple[MaskArray, Planes]:
    """Return what teachers are sure of in a photo: the mean of their probabilities decides.

    Args:
        teachers: At least one; they share a class table.
        image: uint8 (H, W, 3) RGB, upright.
        thresholds: float32 (C,), what the winning class's probability must reach.

    Returns:
        uint8 (H, W), class index, 255 where none is sure enough; and that mean, see
        ``formats.soft``.
    """
    small = []

    def average() -> Iterator[FloatArray]:
        of_each = (teacher.predictor.predict_planes(image) for teacher in teachers)
        for planes in zip(*of_each, strict=True):
            mean: FloatArray = np.mean(planes, axis=0)
            small.append(shrink_plane(mean))
            yield mean

    mask, confidence = choose_classes(average())
    mask[confidence < thresholds[mask]] = IGNORE_INDEX
    return mask, np.stack(small)


def label_photos(
    teachers: Sequence[Teacher],
    unlabelled: LabelledSet,
    thresholds: FloatArray,
    advance: Callable[[], None],
    soft: SoftPlace | None = None,
) -> LabelledSet:
    """Return photos with what teachers are sure of in them.

    Each class of a photo is one object: teachers tell classes apart, not objects. Objects of a
    photo have no pixel in common, so that no overlap rule changes them.

    Args:
        teachers: At least one; they share the class table of ``unlabelled``.
        unlabelled: Photos; see :func:`find_unlabelled`.
        thresholds: float32 (C,); see :func:`label_photo`.
        advance: Called after each photo.
        soft: Where probabilities are written, if they are to be.

    Raises:
        ImageError: A photo is damaged; all of them are listed.
        OutputError: Probabilities cannot be written.
    """
    objects: dict[int, tuple[Annotation, ...]] = {}
    ignored: dict[int, RunLengths] = {}
    probabilities: dict[int, SoftLabels] = {}
    problems = []
    next_id = 1
    for number, photo in enumerate(unlabelled.photos):
        advance()
        try:
            image = read_photo_as_labelled(unlabelled, photo)
        except ImageError as error:
            problems.append(error.message)
            continue
        if problems:
            continue  # nothing will be written, and the rest is only looked at
        mask, planes = label_photo(teachers, image, thresholds)
        if soft is not None:
            probabilities[photo.id] = soft.write(f"{number:06d}.png", planes)
        present = [i for i in np.unique(mask).tolist() if i not in (BACKGROUND_INDEX, IGNORE_INDEX)]
        rows = [
            Annotation(next_id + place, photo.id, index - 1, encode_region(mask == index))
            for place, index in enumerate(present)
        ]
        next_id += len(rows)
        if rows:
            objects[photo.id] = tuple(rows)
        if (mask == IGNORE_INDEX).any():
            ignored[photo.id] = encode_region(mask == IGNORE_INDEX)
    if problems:
        raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems)
    names = unlabelled.table.names
    return replace(
        unlabelled,
        annotations=objects,
        ignored=ignored,
        soft=probabilities,
        category_names={index - 1: names[index] for index in range(1, len(names))},
        index_of_category={index - 1: index for index in range(1, len(names))},
        is_labelled=True,
        is_pseudo=True,
    )


def describe_pseudo_labels(
    labelled: LabelledSet, teachers: Sequence[Teacher], thresholds: FloatArray
) -> dict[str, Any]:
    """Return the COCO document of pseudo-labels; it says what they are and where from.

    Args:
        labelled: From :func:`label_photos`.
        teachers: Who labelled.
        thresholds: float32 (C,), how sure they had to be.
    """
    source = labelled.source
    origin = {
        "bunri": __version__,
        "kind": "soft" if labelled.soft else "hard",
        "teachers": [
            {
                **describe_teacher(
                    teacher.name,
                    teacher.predictor.info.weights_sha256,
                    teacher.predictor.info.photo_hashes or (),
                ),
                "settings": teacher.predictor.settings.model_dump(
                    mode="json", exclude_defaults=True
                ),
            }
            for teacher in teachers
        ],
        "thresholds": {
            name: round(value, 6)
            for name, value in zip(labelled.table.names, thresholds.tolist(), strict=True)
        },
        "photos": {
            "source": str(source),
            "sha256": None if is_folder(source) else hash_file(source),
        },
    }
    info = {
        "description": "Labels by trained models: to train on, never to score with.",
        "date_created": dt.datetime.now(dt.UTC).date().isoformat(),
        INFO_KEY: origin,
    }
    document = describe_coco_set(labelled)
    for row, photo in zip(document["images"], labelled.photos, strict=True):
        if photo.id in labelled.soft:
            listed = labelled.soft[photo.id]
            row[SOFT_KEY] = {"file": listed.file_name, "sha256": listed.sha256}
    return {"info": info, **document}


def measure_shares(labelled: LabelledSet) -> tuple[dict[str, float], float]:
    """Return the share of all pixels that each class got, and the share that none was sure of.

    Args:
        labelled: From :func:`label_photos`.
    """
    counts = dict.fromkeys(labelled.category_names.values(), 0)
    for row in (row for rows in labelled.annotations.values() for row in rows):
        if isinstance(row.segmentation, RunLengths):
            counts[labelled.category_names[row.category_id]] += count_pixels(row.segmentation)
    num_ignored = sum(map(count_pixels, labelled.ignored.values()))
    total = sum(photo.height_px * photo.width_px for photo in labelled.photos)
    background = total - num_ignored - sum(counts.values())
    counts = {labelled.table.names[BACKGROUND_INDEX]: background, **counts}
    return {name: count / total for name, count in counts.items()}, num_ignored / total
