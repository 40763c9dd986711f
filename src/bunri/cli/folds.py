"""Display of a training by folds; ``bunri train`` is the command."""

from pathlib import Path

from bunri.cli.console import print_line, show_progress
from bunri.cli.score_display import format_score, print_scores
from bunri.cli.training_display import explain_stop, open_display
from bunri.evaluation import count_files
from bunri.scores.confusion import Matrices
from bunri.training.folds import FoldsFolder, FoldsRequest, run_folds, start_folds
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.termination import Termination


def train_folds(request: FoldsRequest | None, path: Path) -> None:
    """Train all folds and print the scores of all photos.

    Args:
        request: Data and settings of a new training; None to continue the one in ``path``.
        path: Folder of the folds.

    Raises:
        BunriError: Settings, data or the folder cannot be used.
    """
    folder = FoldsFolder(path)
    with explain_stop(path, folder.plan):
        if request is not None:
            start_folds(request, folder, show_progress)
        with open_display() as display, Termination() as stop:
            result = run_folds(folder, _score_run, display, stop)
    for number, scores in enumerate(result.folds, start=1):
        print_line(
            f"Fold {number}: global mIoU {format_score(scores.global_miou)}, "
            f"per-image {format_score(scores.per_image_miou)} ({scores.num_photos} photos)"
        )
    title = f"{path}, each photo by the model that never saw it"
    print_scores(result.scores, result.intervals, result.table, title)
    print_line(f"Models: {folder.get_run(1).path} and so on   Figures: {folder.out_of_fold}")


def _score_run(run: RunFolder, sources: tuple[DataSource, ...]) -> Matrices:
    rule = RunPlan.read(run).config.data.overlap_rule
    files = [(source.annotations, source.image_root) for source in sources]
    return count_files(run.path, files, rule, show_progress)
