"""A model, or a submission, against labels: one confusion matrix per photo.

Owns what is compared with what, and at which size. Scores are ``metrics``'; masks and files
are others'.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from bunri.annotations.cache import MaskCache
from bunri.annotations.pseudo import shorten_hash
from bunri.annotations.records import LabelledSet
from bunri.audit.similarity import hash_pixels
from bunri.config import OverlapRule
from bunri.contracts import MaskArray, SubmissionError
from bunri.images import check_photo_headers, read_photo_as_labelled
from bunri.metrics import Matrices, count_confusion, stack_matrices
from bunri.predict.predictor import Predictor
from bunri.submission import read_submission, shrink_mask

Advance = Callable[[], None]


def evaluate_model(
    predictor: Predictor, dataset: LabelledSet, rule: OverlapRule, advance: Advance
) -> Matrices:
    """Predict every photo of a labelled set and compare at the photo's own size.

    Args:
        predictor: The model; ``dataset`` must have been read with its class table.
        dataset: Photos and labels.
        rule: How masks are drawn from labels.
        advance: Called after each photo.

    Returns:
        int64 (N, C, C), one confusion matrix per photo, in the order of the set.

    Raises:
        ImageError: A photo cannot be used.
    """
    check_photo_headers(dataset)
    cache = MaskCache.open_default()
    matrices = []
    for photo in dataset.photos:
        prediction = predictor.predict_mask(read_photo_as_labelled(dataset, photo))
        truth = cache.load_mask(dataset, photo, rule)
        matrices.append(count_confusion(truth, prediction, len(dataset.table)))
        advance()
    return stack_matrices(matrices, len(dataset.table))


def predict_submission(
    predictor: Predictor, dataset: LabelledSet, advance: Advance
) -> Iterator[tuple[str, MaskArray]]:
    """Yield (file name, uint8 mask (256, 256)) for each photo, in the order of the set.

    Raises:
        ImageError: A photo cannot be used.
    """
    check_photo_headers(dataset)
    for photo in dataset.photos:
        mask = predictor.predict_mask(read_photo_as_labelled(dataset, photo))
        yield photo.file_name, shrink_mask(mask)
        advance()


def score_submission(
    path: Path, dataset: LabelledSet, rule: OverlapRule, advance: Advance
) -> Matrices:
    """Compare a submission with labels at the submission's 256 x 256.

    Args:
        path: The submission; rows may be in any order, other photos' rows are not allowed.
        dataset: The labels.
        rule: How masks are drawn from labels.
        advance: Called after each photo.

    Returns:
        int64 (N, C, C), in the order of ``dataset``.

    Raises:
        SubmissionError: The file has a fault, or its photos are not those of ``dataset``.
    """
    photos = {photo.file_name: photo for photo in dataset.photos}
    cache, matrices = MaskCache.open_default(), {}
    unknown = []
    for image_id, prediction in read_submission(path, len(dataset.table)):
        photo = photos.get(image_id)
        if photo is None:
            unknown.append(f"{image_id!r} is not in {dataset.source.name}")
            continue
        truth = shrink_mask(cache.load_mask(dataset, photo, rule))
        matrices[image_id] = count_confusion(truth, prediction, len(dataset.table))
        advance()
    missing = [f"{name!r} has no row" for name in photos if name not in matrices]
    if unknown or missing:
        raise SubmissionError(
            f"{path} and {dataset.source} are not about the same photos:",
            problems=unknown + missing,
            hint="Score a submission against the labels of the very photos it was made for.",
        )
    return stack_matrices([matrices[name] for name in photos], len(dataset.table))


def find_learned_photos(
    learned: frozenset[str], dataset: LabelledSet, advance: Advance
) -> list[str]:
    """Return the names of photos whose labels a model learned from, itself or by its teachers.

    Pixels are compared: edited copies are not found, ``bunri doctor --against`` finds those.

    Args:
        learned: ``photo_hashes`` of the model's bundle.
        dataset: Photos.
        advance: Called after each photo.

    Raises:
        ImageError: A photo cannot be used.
    """
    check_photo_headers(dataset)
    names = []
    for photo in dataset.photos:
        if shorten_hash(hash_pixels(read_photo_as_labelled(dataset, photo))) in learned:
            names.append(photo.file_name)
        advance()
    return names
