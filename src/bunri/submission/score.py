"""Scores of a submission.csv against labels, at the submission's 256 x 256."""

from dataclasses import dataclass
from pathlib import Path

from bunri.core.classes import ClassTable
from bunri.core.errors import SubmissionError
from bunri.core.progress import Progress, show_nothing
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.labels.truth import check_truth
from bunri.scores.confusion import count_confusion, stack_matrices
from bunri.scores.intervals import ScoreIntervals, bootstrap_scores
from bunri.scores.metrics import ScoreSheet, compute_scores
from bunri.submission.format import shrink_mask
from bunri.submission.stream import read_submission


@dataclass(frozen=True, slots=True)
class SubmissionScores:
    """Scores of a submission, their 95 % intervals, and reasons to doubt them."""

    table: ClassTable
    sheet: ScoreSheet
    intervals: ScoreIntervals
    warnings: tuple[str, ...] = ()


def score_submission(
    path: Path,
    labels: Path | LabelledSet,
    *,
    images: Path | None = None,
    overlap_rule: OverlapRule = "largest-first",
    batch_size: int = 16,
    allow_pseudo: bool = False,
    progress: Progress = show_nothing,
) -> SubmissionScores:
    """Score a submission, whose rows may be in any order, against the labels of its photos.

    Raises AnnotationError for labels that cannot be used, SubmissionError for a fault of the file,
    or other photos than those of ``labels``.
    """
    dataset = labels if isinstance(labels, LabelledSet) else read_coco(labels, image_root=images)
    warnings = check_truth(dataset, allow_pseudo=allow_pseudo)
    photos = {photo.file_name: photo for photo in dataset.photos}
    num_classes, matrix_of, unknown = len(dataset.table), {}, []
    with progress("Scoring rows", len(photos)) as advance:
        for image_id, prediction in read_submission(path, num_classes):
            photo = photos.get(image_id)
            if photo is None:
                unknown.append(f"{image_id!r} is not in {dataset.source.name}")
                continue
            truth = shrink_mask(draw_mask(dataset, photo, overlap_rule))
            matrix_of[image_id] = count_confusion(truth, prediction, num_classes)
            advance()
    missing = [f"{name!r} has no row" for name in photos if name not in matrix_of]
    if unknown or missing:
        raise SubmissionError(
            f"{path} and {dataset.source} are not about the same photos:",
            problems=unknown + missing,
            hint="Score a submission against the labels of the very photos it was made for.",
        )
    matrices = stack_matrices([matrix_of[name] for name in photos], num_classes)
    return SubmissionScores(
        dataset.table,
        compute_scores(matrices, batch_size),
        bootstrap_scores(matrices),
        tuple(warnings),
    )
