"""Comparison of evaluations that were saved to folders."""

from collections.abc import Sequence
from pathlib import Path

from bunri.core.errors import InputError
from bunri.scores.comparison import Comparison, compare_results
from bunri.scores.result_files import find_result, read_result


def compare_runs(runs: Sequence[str | Path], batch_size: int = 16) -> Comparison:
    """Compare evaluated models on the photos that all of them were evaluated on.

    Args:
        runs: Evaluation folders, or runs that hold one; the first is the baseline.
        batch_size: Photos in a batch of the per-batch mIoU.

    Raises:
        PathError: One holds no evaluation.
        InputError: One is given twice or is damaged, or there are fewer than two.
    """
    names = [str(run) for run in runs]
    check_no_repeats(names)
    return compare_results({n: read_result(find_result(Path(n))) for n in names}, batch_size)


def check_no_repeats(runs: Sequence[str]) -> None:
    """Refuse runs that are given more than once.

    Raises:
        InputError: Some are.
    """
    repeated = sorted({run for run in runs if runs.count(run) > 1})
    if repeated:
        raise InputError(f"Given more than once: {', '.join(repeated)}.")
