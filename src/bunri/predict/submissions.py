"""A submission.csv from a model: every photo of a COCO file, one row each."""

from pathlib import Path

from bunri.core.contracts import MaskArray
from bunri.core.progress import Progress, show_nothing
from bunri.labels.coco import require_photos
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import Photo
from bunri.labels.sources import Data, open_labels
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.submission.format import shrink_mask
from bunri.submission.stream import write_submission


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
        models: Models as on the command line, or a loaded predictor.
        data: COCO file, or a set that was read from one.
        path: The submission to write; compressed if it ends in ``.gz``.
        images: Folder of the photos; None for the folder of the file.
        choices: Options of prediction.
        progress: Display of progress.

    Returns:
        Number of rows.

    Raises AnnotationError, ImageError, ModelError, MissingExtraError, OutputError.
    """
    predictor = open_predictor(models, choices)
    dataset = require_photos(open_labels(data, images, predictor.table))
    check_photo_headers(dataset)
    with progress("Predicting photos", len(dataset.photos)) as advance:

        def predict(photo: Photo) -> tuple[str, MaskArray]:
            mask = predictor.predict_mask(read_photo_as_labelled(dataset, photo))
            advance()
            return photo.file_name, shrink_mask(mask)

        return write_submission(path, map(predict, dataset.photos), len(predictor.table))
