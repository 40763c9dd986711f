"""Pseudo-labels: confident predictions on unlabelled photos, as labels to train on.

Where no class is probable enough, a pixel is ignored in training (255 in a mask). Background is a
class like the others. The files are marked (:mod:`bunri.labels.pseudo`), so that no model is scored
on them.
"""

import datetime as dt
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, FloatArray, ImageArray, MaskArray
from bunri.core.errors import ImageError, InputError, OutputError, PathError
from bunri.core.files import check_writable, hash_file, is_file, is_folder, replace_folder
from bunri.core.progress import Progress, show_nothing
from bunri.core.version import __version__
from bunri.formats.coco import describe_coco_set
from bunri.formats.naming import list_photos
from bunri.images.decider import Decider, gather_probs
from bunri.images.photos import read_size_hw
from bunri.labels.coco import read_coco, require_photos
from bunri.labels.coco_rows import SOFT_KEY
from bunri.labels.document import write_document
from bunri.labels.outlines import encode_region
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.pseudo import INFO_KEY, describe_teacher
from bunri.labels.records import Annotation, LabelledSet, Photo, RunLengths, SoftLabels
from bunri.labels.run_lengths import count_pixels
from bunri.labels.soft import Planes, shrink_plane, write_planes
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.coco_output import list_objects
from bunri.predict.ensemble import Ensemble
from bunri.predict.predictor import AnyPredictor

HARD_THRESHOLD, SOFT_THRESHOLD = 0.7, 0.0
"""Default thresholds; soft labels state how unsure a pixel is, so none is left out by default."""


@dataclass(frozen=True, slots=True)
class SoftPlace:
    """Place for the probabilities of photos.

    Attributes:
        name: Final name of that folder, relative to the COCO file.
    """

    folder: Path
    name: str

    def write(self, file_name: str, planes: Planes) -> SoftLabels:
        """Write a photo's probabilities; return their final place."""
        path = self.folder / file_name
        write_planes(path, planes)
        return SoftLabels(f"{self.name}/{file_name}", hash_file(path))


def parse_thresholds(table: ClassTable, default: float, texts: Sequence[str]) -> FloatArray:
    """Return the least probability of each class, float32 (C,).

    Args:
        table: The classes.
        default: Threshold of classes that are not named, 0 to 1.
        texts: Texts ``NAME=NUMBER``; no class twice.
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

    Labels in the file are ignored.

    Args:
        path: COCO file or folder.
        image_root: Folder of the file's photos; None for the file's own. Unused for a folder.
        table: The classes.
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
    predictor: AnyPredictor, image: ImageArray, thresholds: FloatArray, *, keeps_probs: bool = False
) -> tuple[MaskArray, Planes | None]:
    """Return the confident classes of a photo.

    Args:
        predictor: The model, or several.
        image: uint8 (H, W, 3) RGB, upright.
        thresholds: float32 (C,), least probability of the most probable class.
        keeps_probs: Also return the probabilities.

    Returns:
        uint8 (H, W), class index or 255 where no class is probable enough; and the probabilities
        as :mod:`bunri.labels.soft` stores them, if asked for.
    """
    planes = predictor.predict_planes(image)
    # Thresholds and regions of the predictor's settings do not apply: probabilities decide.
    mask = Decider.plain(len(planes)).choose(planes)
    mask[gather_probs(planes, mask) < thresholds[mask]] = IGNORE_INDEX
    return mask, np.stack([shrink_plane(plane) for plane in planes]) if keeps_probs else None


def label_photos(
    predictor: AnyPredictor,
    unlabelled: LabelledSet,
    thresholds: FloatArray,
    soft: SoftPlace | None = None,
    progress: Progress = show_nothing,
) -> LabelledSet:
    """Return photos with their confident classes as labels.

    Each class of a photo is one object, since networks separate classes, not objects. Objects of
    a photo share no pixel, so overlap rules do not change them.

    Args:
        predictor: One or several models with the class table of ``unlabelled``.
        unlabelled: The photos.
        thresholds: float32 (C,); see :func:`label_photo`.
        soft: Place for the probabilities; None to write none.
        progress: Display of progress.
    """
    objects: dict[int, tuple[Annotation, ...]] = {}
    ignored: dict[int, RunLengths] = {}
    probabilities: dict[int, SoftLabels] = {}
    problems = []
    next_id = 1
    with progress("Labelling photos", len(unlabelled.photos)) as advance:
        for number, photo in enumerate(unlabelled.photos):
            advance()
            try:
                image = read_photo_as_labelled(unlabelled, photo)
            except ImageError as error:
                problems.append(error.message)
                continue
            if problems:
                continue  # nothing will be written; the other photos are only checked
            keeps_probs = soft is not None
            mask, planes = label_photo(predictor, image, thresholds, keeps_probs=keeps_probs)
            if soft is not None and planes is not None:
                probabilities[photo.id] = soft.write(f"{number:06d}.png", planes)
            rows = list_objects(mask, photo.id, next_id, first_category=0)
            next_id += len(rows)
            if rows:
                objects[photo.id] = rows
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
        category_names=dict(enumerate(names[1:])),
        index_of_category={index - 1: index for index in range(1, len(names))},
        is_labelled=True,
        is_pseudo=True,
    )


def describe_pseudo_labels(
    labelled: LabelledSet, predictor: AnyPredictor, thresholds: FloatArray
) -> dict[str, Any]:
    """Return the COCO document of pseudo-labels, marked as such, with their origin.

    Args:
        labelled: Photos with their pseudo-labels.
        predictor: The models that made them.
        thresholds: float32 (C,), least probability of each class.
    """
    source = labelled.source
    settings = (
        [member.settings for member in predictor.members]
        if isinstance(predictor, Ensemble)
        else [predictor.settings]
    )
    origin = {
        "bunri": __version__,
        "kind": "soft" if labelled.soft else "hard",
        "teachers": [
            {
                **describe_teacher(one.name, one.info.weights_sha256, one.info.photo_hashes or ()),
                "settings": used.model_dump(mode="json", exclude_defaults=True),
            }
            for one, used in zip(predictor.stored, settings, strict=True)
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
    """Return the share of all pixels of each class, and the share of ignored pixels."""
    counts = dict.fromkeys(labelled.category_names.values(), 0)
    for row in (row for rows in labelled.annotations.values() for row in rows):
        if isinstance(row.segmentation, RunLengths):
            counts[labelled.category_names[row.category_id]] += count_pixels(row.segmentation)
    num_ignored = sum(map(count_pixels, labelled.ignored.values()))
    total = sum(photo.height_px * photo.width_px for photo in labelled.photos)
    background = total - num_ignored - sum(counts.values())
    counts = {labelled.table.names[BACKGROUND_INDEX]: background, **counts}
    return {name: count / total for name, count in counts.items()}, num_ignored / total


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Outcome of labelling.

    Attributes:
        shares: Share of all pixels that each class got.
        unsure: Share of all pixels that training will ignore.
    """

    labelled: LabelledSet
    shares: dict[str, float]
    unsure: float
    warnings: tuple[str, ...]


def write_pseudo_labels(
    models: Models,
    photos: Path,
    output: Path,
    *,
    images: Path | None = None,
    choices: PredictionChoices = DEFAULT_CHOICES,
    threshold: float | None = None,
    class_thresholds: Sequence[str] = (),
    is_soft: bool = False,
    progress: Progress = show_nothing,
) -> PseudoLabels:
    """Label photos with trained models, and write a COCO file to train on.

    Args:
        models: Models as on the command line, or a loaded predictor.
        photos: COCO file or folder of photos.
        output: COCO file to write.
        images: Folder of the photos of a COCO file; None for the folder of the file.
        choices: Options of prediction.
        threshold: Least probability of a pixel's best class, 0 to 1; None for 0.7, or 0 for soft
            labels, where the probabilities themselves tell how sure the models are.
        class_thresholds: Other thresholds of single classes, ``NAME=NUMBER`` each.
        is_soft: Also write the probabilities, into a folder beside ``output``.
        progress: Display of progress.

    Raises InputError, ImageError, ModelError, OutputError.
    """
    folder = output.with_name(f"{output.stem}_soft")
    for path in (output, folder) if is_soft else (output,):
        if is_file(path) or is_folder(path):
            raise OutputError(f"{path} exists already.", hint="Choose another name with --out.")
    check_writable(output)
    predictor = open_predictor(models, choices)
    if threshold is None:
        threshold = SOFT_THRESHOLD if is_soft else HARD_THRESHOLD
    thresholds = parse_thresholds(predictor.table, threshold, class_thresholds)
    unlabelled = find_unlabelled(photos, images, predictor.table)
    with replace_folder(folder) if is_soft else nullcontext() as temporary:
        soft = None if temporary is None else SoftPlace(temporary, folder.name)
        labelled = label_photos(predictor, unlabelled, thresholds, soft, progress)
    write_document(output, describe_pseudo_labels(labelled, predictor, thresholds))
    warnings = tuple(
        f"{one.name} does not record its training photos (an early version of bunri made it): "
        "bunri cannot notice later that these labels stem from them."
        for one in predictor.stored
        if one.info.photo_hashes is None
    )
    return PseudoLabels(labelled, *measure_shares(labelled), warnings)
