"""Evaluation of a model on labelled photos: every score, with intervals.

:func:`evaluate` is the whole job. Masks are compared at the photos' own size and at the
256 x 256 of a submission; the confusion matrix of each photo is kept, so that results can be
compared photo by photo later.
"""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.core.errors import OutputError
from bunri.core.files import check_writable, hash_file, is_file, measure_peak_memory_bytes
from bunri.core.progress import Advance, Progress, show_nothing
from bunri.corruptions import NAMES, check_severity, corrupt
from bunri.labels.coco import require_labels, require_nonempty, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.labels.sources import Data, open_labels
from bunri.labels.truth import check_truth, check_unseen
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.ensemble import Ensemble
from bunri.predict.predictor import AnyPredictor
from bunri.scores.boundary import count_boundary
from bunri.scores.calibration import Calibration
from bunri.scores.confusion import ClassCounts, Matrices, Matrix, count_confusion, stack_matrices
from bunri.scores.result_files import RESULT_NAME, RUN_RESULT_NAME, write_result
from bunri.scores.results import (
    Result,
    SizeCounts,
    SizeScores,
    UsedModel,
    describe_result,
    score_counts,
)
from bunri.scores.robustness import RobustnessCounts, RobustnessScores, score_robustness
from bunri.submission.format import choose_pixels


class Watcher(Protocol):
    """Receives every photo while it is evaluated; such as ``report.evaluation_report``."""

    def start(self, predictor: AnyPredictor, dataset: LabelledSet) -> None:
        """Prepare for the photos of ``dataset``; called once, before any is predicted."""

    def watch(
        self, photo: Photo, image: ImageArray, truth: MaskArray, prediction: MaskArray
    ) -> None:
        """Take a photo: uint8 (H, W, 3) RGB, and two masks, uint8 (H, W)."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores of a model on a set of photos.

    Attributes:
        result: Counts per photo, and the facts of the model and the data.
        scores: Scores at the photos' own size (``photo``) and at 256 x 256 (``submission``).
        robustness: Scores under corruptions; None if none were asked for.
        warnings: Reasons to doubt the scores, one sentence each.
    """

    result: Result
    scores: dict[str, SizeScores]
    robustness: RobustnessScores | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all scores as plain values, as in ``evaluation.json``."""
        return describe_result(self.result, self.scores, self.robustness)

    def save(self, folder: Path) -> None:
        """Write ``evaluation.json`` and ``matrices.npz``, which ``bunri compare`` reads.

        Raises:
            OutputError: They cannot be written.
        """
        write_result(folder, self.result, self.scores, self.robustness)


def evaluate(
    models: Models,
    data: Data,
    *,
    images: Path | None = None,
    choices: PredictionChoices = DEFAULT_CHOICES,
    overlap_rule: OverlapRule = "largest-first",
    batch_size: int = 16,
    severity: int | None = None,
    allow_pseudo: bool = False,
    allow_trained: bool = False,
    watcher: Watcher | None = None,
    progress: Progress = show_nothing,
) -> Evaluation:
    """Score a model, or several as an ensemble, on labelled photos.

    Args:
        models: A model as on the command line, several of them, or a loaded predictor.
        data: COCO file with labels, or a set that was read from one.
        images: Folder of the photos; None for the folder of the file.
        choices: Options of prediction; unused where ``models`` is a predictor.
        overlap_rule: Rule that decides which of several objects a pixel belongs to.
        batch_size: Photos in a batch of the per-batch mIoU.
        severity: Strength of the corruptions to predict every photo under as well, 1 to 5; None
            for no corruptions. Takes 16 times as long.
        allow_pseudo: Accept pseudo-labels as if they were true.
        allow_trained: Accept photos that a model was trained on.
        watcher: Receives every photo, for example to draw a report.
        progress: Progress display.

    Raises:
        AnnotationError: The file cannot be used, has no labels, or holds pseudo-labels.
        ImageError: A photo cannot be used.
        InputError: A model was trained on some of the photos, or an argument is out of range.
        ModelError: A model does not exist, is damaged, or gives something that is no number.
        MissingExtraError: Something that the models need is not installed.
    """
    if severity is not None:
        check_severity(severity)
    predictor = open_predictor(models, choices)
    dataset = require_photos(require_labels(open_labels(data, images, predictor.table)))
    warnings = check_truth(dataset, allow_pseudo=allow_pseudo)
    warnings += check_unseen(
        predictor.info.photo_hashes, predictor.name, dataset,
        allow_trained=allow_trained, progress=progress,
    )  # fmt: skip
    is_tuned_here = _is_tuned_on(predictor, dataset.source)
    if is_tuned_here:
        warnings.append(
            f"The settings of prediction were chosen by bunri tune on {dataset.source} itself: "
            "the scores are too high. Score on other photos, or with --plain."
        )
    if watcher is not None:
        watcher.start(predictor, dataset)
    counts = count_predictions(
        predictor, dataset, overlap_rule, watcher=watcher, severity=severity, progress=progress
    )
    result = Result(
        model=predictor.name,
        data=str(dataset.source),
        overlap_rule=overlap_rule,
        table=dataset.table,
        photos=tuple(photo.file_name for photo in dataset.photos),
        sizes=counts.sizes,
        config=predictor.info.training.get("config") or {},
        models=_list_models(predictor),
        combine=predictor.combine if isinstance(predictor, Ensemble) else "",
        prediction=predictor.settings.model_dump(mode="json", exclude_defaults=True),
        is_tuned_here=is_tuned_here,
        cost=_measure_cost(predictor, counts.photo_s),
        robustness=counts.robustness,
    )
    scores = {size: score_counts(one, batch_size) for size, one in result.sizes.items()}
    corrupted, clean = counts.robustness, result.sizes["photo"].matrices
    robustness = None if corrupted is None else score_robustness(corrupted, clean)
    return Evaluation(result, scores, robustness, tuple(warnings))


def choose_result_folder(predictor: AnyPredictor, folder: Path | None) -> tuple[Path | None, str]:
    """Return the folder to save an evaluation in, and otherwise the reason why there is none.

    Without a choice it is the folder ``evaluation`` of a run, which a bare bundle and an ensemble
    do not have.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    if folder is not None:
        check_writable(folder / RESULT_NAME)
        return folder, ""
    if isinstance(predictor, Ensemble):
        return None, "The evaluation is not kept; to keep it, add --out FOLDER."
    run = predictor.stored[0].run_folder if predictor.stored else None
    if run is None:
        return None, ""
    try:
        check_writable(run / RUN_RESULT_NAME / RESULT_NAME)
    except OutputError as error:
        return None, f"The evaluation is not kept: {error.message}"
    return run / RUN_RESULT_NAME, ""


def _list_models(predictor: AnyPredictor) -> tuple[UsedModel, ...]:
    """Return the single models behind a predictor."""
    if isinstance(predictor, Ensemble):
        pairs = zip(predictor.members, predictor.weights, strict=True)
        return tuple(UsedModel(one.model, one.info.weights_sha256, w) for one, w in pairs)
    return (UsedModel(predictor.name, predictor.info.weights_sha256),)


def _is_tuned_on(predictor: AnyPredictor, source: Path) -> bool:
    """Return whether ``bunri tune`` chose how to predict on these very photos."""
    evidence = predictor.info.prediction.get("evidence")
    if not (isinstance(evidence, dict) and evidence.get("helps") and is_file(source)):
        return False
    return evidence.get("data_sha256") == hash_file(source)


def _measure_cost(predictor: AnyPredictor, photo_s: float) -> dict[str, float | None]:
    stored = predictor.stored
    counts = [one.num_parameters for one in stored]
    is_known = stored and None not in counts
    return {
        "parameters": sum(filter(None, counts)) if is_known else None,
        "file_bytes": sum(one.num_bytes for one in stored) if stored else None,
        "photo_s": photo_s,
        "peak_memory_bytes": measure_peak_memory_bytes(),
    }


@dataclass(frozen=True, slots=True)
class PredictionCounts:
    """Counts of predictions against labels."""

    sizes: Mapping[str, SizeCounts]  # at each of bunri.scores.results.SIZES
    photo_s: float  # median seconds from a photo in memory to its mask
    robustness: RobustnessCounts | None = None


def count_predictions(
    predictor: AnyPredictor,
    dataset: LabelledSet,
    rule: OverlapRule,
    *,
    watcher: Watcher | None = None,
    severity: int | None = None,
    progress: Progress = show_nothing,
) -> PredictionCounts:
    """Predict every photo of a labelled set and count the result, at both sizes.

    Only counts of a photo are kept in memory. ``dataset`` must have been read with the class table
    of the model.

    Raises:
        BunriError: There are no photos, one cannot be used, the model gives probabilities that are
            no numbers, or there is no such severity.
    """
    check_photo_headers(require_nonempty(dataset))
    num_classes, seconds = len(dataset.table), []
    own, small = _Counter(num_classes), _Counter(num_classes)
    corrupted: list[Matrices] = []
    label, total = "Predicting photos", len(dataset.photos)
    if severity is not None:
        label, total = f"{label}, clean and corrupted", total * (1 + len(NAMES))
    with progress(label, total) as advance:
        for photo in dataset.photos:
            image = read_photo_as_labelled(dataset, photo)
            started = time.perf_counter()
            prediction, confidence = predictor.predict_winners(image)
            seconds.append(time.perf_counter() - started)
            truth = draw_mask(dataset, photo, rule)
            own.count(truth, prediction, confidence)
            chosen = choose_pixels(photo.size_hw)
            small.count(truth[chosen], prediction[chosen], confidence[chosen])
            if watcher is not None:
                watcher.watch(photo, image, truth, prediction)
            advance()
            if severity is not None:
                predictions = predict_corrupted(predictor, image, severity)
                corrupted.append(_count_corrupted(predictions, truth, num_classes, advance))
    return PredictionCounts(
        {"photo": own.finish(), "submission": small.finish()},
        statistics.median(seconds),  # the first photo takes longer
        None if severity is None else RobustnessCounts.of(severity, NAMES, corrupted),
    )


def count_files(
    model: str | Path,
    files: Iterable[tuple[Path, Path]],
    rule: OverlapRule,
    progress: Progress = show_nothing,
) -> Matrices:
    """Return the confusion matrix of every photo of some (COCO file, folder), int64 (N, C, C)."""
    predictor = open_predictor(model)
    sets = [open_labels(path, root, predictor.table) for path, root in files]
    counts = [count_predictions(predictor, one, rule, progress=progress) for one in sets]
    return np.concatenate([one.sizes["photo"].matrices for one in counts])


def predict_corrupted(
    predictor: AnyPredictor, image: ImageArray, severity: int
) -> Iterator[tuple[str, ImageArray, MaskArray]]:
    """Yield name, corrupted photo and mask for each corruption of ``severity``, 1 to 5."""
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
        """Return the counts of all photos."""
        hits, truth, predicted = np.array(self._boundaries).swapaxes(0, 1)
        return SizeCounts(
            stack_matrices(self._matrices, self._num_classes),
            ClassCounts(hits, truth, predicted),
            self._calibration,
        )
