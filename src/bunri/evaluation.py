"""A model, or a submission, against labels: one confusion matrix per photo.

Owns what is compared with what, and at which size. Scores are ``metrics``'; masks and files
are others'.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.core.errors import SubmissionError
from bunri.corruptions import NAMES, corrupt
from bunri.images.similarity import hash_pixels
from bunri.labels.coco import require_nonempty
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.pseudo import shorten_hash
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.predict.predictor import AnyPredictor
from bunri.scores.boundary import count_boundary
from bunri.scores.calibration import Calibration
from bunri.scores.metrics import ClassCounts, Matrices, Matrix, count_confusion, stack_matrices
from bunri.scores.results import SizeCounts
from bunri.scores.robustness import RobustnessCounts
from bunri.submission import choose_pixels, read_submission, shrink_mask

Advance = Callable[[], None]
Watch = Callable[[Photo, ImageArray, MaskArray, MaskArray], None]
"""Is shown each photo as it is predicted: the photo, its pixels, its truth, its prediction."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model did on a set of photos.

    Attributes:
        sizes: Counts at each of ``results.SIZES``.
        photo_s: Seconds from a photo to its mask, without reading files and counting; the
            median, since the first takes longer.
        robustness: Counts under corruptions; None if that was not asked.
    """

    sizes: Mapping[str, SizeCounts]
    photo_s: float
    robustness: RobustnessCounts | None = None


def evaluate_model(
    predictor: AnyPredictor,
    dataset: LabelledSet,
    rule: OverlapRule,
    advance: Advance,
    watch: Watch | None = None,
    severity: int | None = None,
) -> Evaluation:
    """Predict every photo of a labelled set and compare, at its own size and a submission's.

    Only counts are kept of a photo.

    Args:
        predictor: The model; ``dataset`` must have been read with its class table.
        dataset: Photos and labels.
        rule: How masks are drawn from labels.
        advance: Called after each prediction: once a photo, and once for each corruption.
        watch: What wants to see more than counts, such as a report; nothing is kept for it.
        severity: Also predict every photo under each corruption of this severity.

    Raises:
        AnnotationError: There are no photos.
        ImageError: A photo cannot be used.
        InputError: There is no such severity.
        ModelError: The model gives probabilities that are no numbers.
    """
    check_photo_headers(require_nonempty(dataset))
    seconds = []
    num_classes = len(dataset.table)
    own, small = (_Counter(num_classes) for _ in range(2))
    corrupted: list[Matrices] = []
    for photo in dataset.photos:
        image = read_photo_as_labelled(dataset, photo)
        started = time.perf_counter()
        prediction, confidence = predictor.predict_winners(image)
        seconds.append(time.perf_counter() - started)
        truth = draw_mask(dataset, photo, rule)
        own.count(truth, prediction, confidence)
        chosen = choose_pixels(photo.size_hw)
        small.count(truth[chosen], prediction[chosen], confidence[chosen])
        if watch is not None:
            watch(photo, image, truth, prediction)
        advance()
        if severity is not None:
            predictions = predict_corrupted(predictor, image, severity)
            corrupted.append(_count_corrupted(predictions, truth, num_classes, advance))
    return Evaluation(
        {"photo": own.finish(), "submission": small.finish()},
        statistics.median(seconds),
        None if severity is None else RobustnessCounts.of(severity, NAMES, corrupted),
    )


def predict_corrupted(
    predictor: AnyPredictor, image: ImageArray, severity: int
) -> Iterator[tuple[str, ImageArray, MaskArray]]:
    """Yield each corruption's name, the photo under it, and what the model makes of that.

    Args:
        predictor: The model.
        image: uint8 (H, W, 3) RGB, clean.
        severity: Of all corruptions.

    Raises:
        InputError: There is no such severity.
        ModelError: The model gives probabilities that are no numbers.
    """
    for name in NAMES:
        corrupted = corrupt(image, name, severity)
        yield name, corrupted, predictor.predict_mask(corrupted)


def _count_corrupted(
    predictions: Iterable[tuple[str, ImageArray, MaskArray]],
    truth: MaskArray,
    num_classes: int,
    advance: Advance,
) -> Matrices:
    """Return hits and predicted pixels of a photo under each corruption, int64 (K, 2, C)."""
    rows = []
    for _, _, prediction in predictions:
        matrix = count_confusion(truth, prediction, num_classes)
        rows.append((np.diagonal(matrix), matrix.sum(0)))
        advance()
    return np.array(rows)


class _Counter:
    """Counts photo by photo."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._matrices: list[Matrix] = []
        self._boundaries: list[tuple[npt.NDArray[np.int64], ...]] = []
        self._calibration = Calibration()

    def count(self, truth: MaskArray, prediction: MaskArray, confidence: FloatArray) -> None:
        """Count a photo, all three (H, W)."""
        self._matrices.append(count_confusion(truth, prediction, self._num_classes))
        counts = count_boundary(truth, prediction, self._num_classes)
        self._boundaries.append((counts.hits, counts.truth, counts.predicted))
        self._calibration.add(truth, prediction, confidence)

    def finish(self) -> SizeCounts:
        """Return what was counted."""
        hits, truth, predicted = np.array(self._boundaries).swapaxes(0, 1)
        return SizeCounts(
            stack_matrices(self._matrices, self._num_classes),
            ClassCounts(hits, truth, predicted),
            self._calibration,
        )


def predict_submission(
    predictor: AnyPredictor, dataset: LabelledSet, advance: Advance
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
    matrices = {}
    unknown = []
    for image_id, prediction in read_submission(path, len(dataset.table)):
        photo = photos.get(image_id)
        if photo is None:
            unknown.append(f"{image_id!r} is not in {dataset.source.name}")
            continue
        truth = shrink_mask(draw_mask(dataset, photo, rule))
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
