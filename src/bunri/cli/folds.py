"""Training by folds on screen; ``bunri train`` is the command."""

from pathlib import Path
from typing import TYPE_CHECKING

from bunri.cli.console import print_line, show_progress
from bunri.cli.score_display import format_score, print_scores

if TYPE_CHECKING:
    from bunri.scores.confusion import Matrices
    from bunri.training.folds import FoldsRequest
    from bunri.training.plan import DataSource, RunFolder


def train_folds(request: "FoldsRequest | None", path: Path) -> None:
    """Train all folds and print the score of all photos.

    Args:
        request: What to train; None to go on with what is in ``path``.
        path: The folder of folds.

    Raises:
        BunriError: Whatever is wrong with settings, data or the folder.
    """
    from bunri.cli.training_display import explain_stop, open_display
    from bunri.training.folds import FoldsFolder, run_folds, start_folds
    from bunri.training.termination import Termination

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


def _score_run(run: "RunFolder", sources: tuple["DataSource", ...]) -> "Matrices":
    import numpy as np

    from bunri.evaluation import count_predictions
    from bunri.labels.coco import read_coco
    from bunri.predict.predictor import load_predictor
    from bunri.training.plan import RunPlan

    predictor = load_predictor(str(run.path))
    rule = RunPlan.read(run).config.data.overlap_rule
    sets = [
        read_coco(source.annotations, image_root=source.image_root, table=predictor.table)
        for source in sources
    ]
    counts = [count_predictions(predictor, d, rule, progress=show_progress) for d in sets]
    return np.concatenate([one.sizes["photo"].matrices for one in counts])
