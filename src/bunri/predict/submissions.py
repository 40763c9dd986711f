"""A submission.csv from a model: every photo of a COCO file, one row each."""

from collections.abc import Iterator
from pathlib import Path

from bunri.core.contracts import MaskArray
from bunri.core.progress import Advance, Progress, show_nothing
from bunri.labels.coco import require_photos
from bunri.labels.opening import Data, open_labels
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.predictor import AnyPredictor
from bunri.submission import shrink_mask, write_submission


def submit(
    models: Models,
    data: Data,
    path: Path,
    *,
    images: Path | None = None,
    choices: PredictionChoices = DEFAULT_CHOICES,
    progress: Progress = show_nothing,
) -> int:
    """Predict every photo of a set and write a submission.csv.

    Args:
        models: A model as on the command line, several of them, or a loaded predictor.
        data: COCO file, or a set that was read from one; labels are not needed.
        path: The submission to write; compressed if it ends in ``.gz``.
        images: Folder of the photos; None for the folder of the file.
        choices: Options of prediction; unused where ``models`` is a predictor.
        progress: Progress display; one step per photo.

    Returns:
        Number of rows.

    Raises:
        AnnotationError: The file cannot be used, or photos are missing.
        ImageError: A photo cannot be used.
        ModelError: A model does not exist, is damaged, or its probabilities are not finite.
        MissingExtraError: A library that the models need is not installed.
        OutputError: The submission cannot be written.
    """
    predictor = open_predictor(models, choices)
    dataset = require_photos(open_labels(data, images, predictor.table))
    with progress("Predicting photos", len(dataset.photos)) as advance:
        rows = _predict_rows(predictor, dataset, advance)
        return write_submission(path, rows, len(predictor.table))


def _predict_rows(
    predictor: AnyPredictor, dataset: LabelledSet, advance: Advance
) -> Iterator[tuple[str, MaskArray]]:
    """Yield (file name, uint8 mask (256, 256)) for each photo, in the order of the set."""
    check_photo_headers(dataset)
    for photo in dataset.photos:
        mask = predictor.predict_mask(read_photo_as_labelled(dataset, photo))
        yield photo.file_name, shrink_mask(mask)
        advance()
