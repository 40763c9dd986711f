"""A COCO file of pseudo-labels, from models and photos without labels."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from bunri.core.errors import OutputError
from bunri.core.files import check_writable, is_file, is_folder, replace_folder
from bunri.core.progress import Progress, show_nothing
from bunri.labels.document import write_document
from bunri.labels.records import LabelledSet
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.pseudo_labels import (
    HARD_THRESHOLD,
    SOFT_THRESHOLD,
    SoftPlace,
    describe_pseudo_labels,
    find_unlabelled,
    label_photos,
    measure_shares,
    parse_thresholds,
)


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Outcome of labelling.

    Attributes:
        labelled: Photos with their pseudo-labels.
        shares: Share of all pixels that each class got.
        unsure: Share of all pixels that training will ignore.
        warnings: Reasons for care, one sentence each.
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
        models: A model as on the command line, several of them, or a loaded predictor.
        photos: COCO file, whose labels are ignored, or a folder of photos.
        output: COCO file to write; must be new.
        images: Folder of the photos of a COCO file; None for the folder of the file.
        choices: Options of prediction; unused where ``models`` is a predictor.
        threshold: Least probability of a pixel's best class, 0 to 1; None for 0.7, or 0 for soft
            labels, where the probabilities themselves tell how sure the models are.
        class_thresholds: Other thresholds of single classes, ``NAME=NUMBER`` each.
        is_soft: Also write the probabilities, into a folder beside ``output``.
        progress: Progress display; one step per photo.

    Raises:
        InputError: A threshold is out of range or names no class.
        ImageError: A photo cannot be used.
        ModelError: A model does not exist or is damaged, or classes differ.
        OutputError: ``output`` exists or cannot be written.
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
