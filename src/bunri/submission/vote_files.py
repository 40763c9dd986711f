"""One submission.csv from the votes of several."""

from collections.abc import Sequence
from pathlib import Path

from bunri.core.errors import InputError
from bunri.core.files import check_writable
from bunri.submission.stream import write_submission
from bunri.submission.vote import complete_priority, parse_priority, parse_weights, vote_submissions


def vote_files(
    submissions: Sequence[Path],
    path: Path,
    *,
    weights: str = "",
    priority: str = "",
    num_classes: int = 12,
) -> int:
    """Let submissions vote on every pixel, and write the winners.

    Args:
        submissions: At least two files about the same photos.
        path: The submission to write; compressed if it ends in ``.gz``.
        weights: Weight of each file, such as ``2,1,1``; empty for 1 each.
        priority: Names or indices of classes that win ties, first one first, such as ``Glass,3``.
            The others follow, the rarest in the first file first.
        num_classes: Number of classes, background included.

    Returns:
        Number of rows.

    Raises:
        InputError: There are fewer than two files, or weights or classes that do not fit.
        SubmissionError: A file has a fault, or the files are about different photos.
        OutputError: The result cannot be written.
    """
    if len(submissions) < 2:
        raise InputError("A vote needs at least two submissions.")
    numbers = parse_weights(weights, len(submissions))
    first = parse_priority(priority, num_classes)
    check_writable(path)
    order = complete_priority(first, submissions[0], num_classes)
    rows = vote_submissions(submissions, numbers, order, num_classes)
    return write_submission(path, rows, num_classes)
