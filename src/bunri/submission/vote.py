"""Hard vote of several submissions: for each pixel the class with most votes."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.contracts import MaskArray
from bunri.core.errors import InputError
from bunri.core.files import check_writable
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.submission.align import align_submissions
from bunri.submission.format import SUBMISSION_SIZE_PX
from bunri.submission.stream import read_submission, write_submission

_WEIGHT = re.compile(r"(?a:\d{1,12}(\.\d{1,12})?|\.\d{1,12})")
MAX_WEIGHT_SUM = 2**40
"""Largest sum of weights as whole numbers with which votes are counted exactly."""


def vote_files(
    submissions: Sequence[Path],
    path: Path,
    *,
    weights: str = "",
    priority: str = "",
    num_classes: int = 12,
) -> int:
    """Write the votes of at least two submissions on every pixel; return the number of rows."""
    if len(submissions) < 2:
        raise InputError("A vote needs at least two submissions.")
    numbers = parse_weights(weights, len(submissions))
    first = parse_priority(priority, num_classes)
    check_writable(path)
    order = complete_priority(first, submissions[0], num_classes)
    rows = vote_submissions(submissions, numbers, order, num_classes)
    return write_submission(path, rows, num_classes)


def parse_weights(text: str, num_files: int) -> tuple[int, ...]:
    """Return weights such as ``2,1,0.5`` as whole numbers in the same proportion: 4, 2, 1.

    Whole numbers, so that 0.1 + 0.2 against 0.3 is a tie. An empty text is 1 for each file. Raises
    InputError for another count, wrong numbers, a sum of 0, or one above :data:`MAX_WEIGHT_SUM`.
    """
    if not text:
        return (1,) * num_files
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not _WEIGHT.fullmatch(part)]
    problems = [f"{part!r} is no decimal number of at least 0" for part in wrong]
    weights = [] if problems else [Fraction(part) for part in parts]
    if len(parts) != num_files:
        problems.append(f"{len(parts)} weights for {num_files} files")
    if not problems and sum(weights) == 0:
        problems.append("they sum to 0, so that nobody would have a vote")
    scale = lcm(*(weight.denominator for weight in weights))
    whole = tuple(int(weight * scale) for weight in weights)
    if not problems and sum(whole) > MAX_WEIGHT_SUM:
        problems.append("their proportions need too many digits")
    if problems:
        raise InputError("--weights takes one number a file, such as 2,1,1:", problems=problems)
    return whole


def parse_priority(text: str, num_classes: int) -> tuple[int, ...]:
    """Return the classes that win ties, from names or indices with commas between, first one first.

    Names are those of the competition's table, and can be used where there are as many classes.
    Raises InputError for a class that does not exist, or one that comes twice.
    """
    table = COMPETITION_TABLE if num_classes == len(COMPETITION_TABLE) else None
    chosen: list[int] = []
    problems = []
    for part in (part.strip() for part in text.split(",") if text.strip()):
        try:
            index = _find_class(part, num_classes, table)
        except InputError as error:
            problems.append(error.message)
            continue
        if index in chosen:
            problems.append(f"{part!r} comes twice")
        chosen.append(index)
    if problems:
        raise InputError(
            "--priority takes classes, such as Battery,Glass or 10,6:", problems=problems
        )
    return tuple(chosen)


def _find_class(text: str, num_classes: int, table: ClassTable | None) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 3:
        if int(text) < num_classes:
            return int(text)
        raise InputError(f"There is no class {text}; they are 0 to {num_classes - 1}.")
    if table is None:
        raise InputError(f"{text!r} is no index; names are known for the competition's classes.")
    return table.index_of(text)


def complete_priority(first: Sequence[int], path: Path, num_classes: int) -> tuple[int, ...]:
    """Return all classes in the order in which they win ties.

    Classes not in ``first`` follow, the rarest first: by their pixels in one submission, then by
    index, the higher first. Every class has the same weight in an mIoU, so that a pixel of a rare
    class matters most.
    """
    rest = [index for index in range(num_classes) if index not in first]
    if len(rest) > 1:
        pixels = np.zeros(num_classes, np.int64)
        for _, mask in read_submission(path, num_classes):
            pixels += np.bincount(mask.ravel(), minlength=num_classes)
        rest.sort(key=lambda index: (int(pixels[index]), -index))
    return (*first, *rest)


def vote_submissions(
    paths: Sequence[Path], weights: Sequence[int], priority: Sequence[int], num_classes: int = 12
) -> Iterator[tuple[str, MaskArray]]:
    """Yield each photo with the classes that most files vote for, in the first file's order.

    Masks are uint8 (256, 256). Of classes with equal votes the first in ``priority`` wins, which
    has every class once. Raises what :func:`bunri.submission.align.align_submissions` does.
    """
    for image_id, masks in align_submissions(paths, num_classes):
        yield image_id, vote_masks(masks, weights, priority)


def vote_masks(
    masks: Sequence[MaskArray], weights: Sequence[int], priority: Sequence[int]
) -> MaskArray:
    """Return the class with most votes at each pixel of the masks, all uint8 (256, 256)."""
    # A file without a vote must not count as disagreeing.
    voters = [(mask.ravel(), weight) for mask, weight in zip(masks, weights, strict=True) if weight]
    winners = voters[0][0].copy()
    is_disputed = np.zeros(winners.shape, np.bool_)
    for values, _ in voters[1:]:
        is_disputed |= values != winners
    if is_disputed.any():
        ballots = [(values.compress(is_disputed), weight) for values, weight in voters]
        winners[is_disputed] = _count_votes(ballots, priority)
    return winners.reshape(SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)


def _count_votes(
    ballots: Sequence[tuple[MaskArray, int]], priority: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Return the winners of pixels, uint8 (N,), from each file's classes there and its weight."""
    present = set(np.unique(np.concatenate([values for values, _ in ballots])).tolist())
    # Small numbers are several times as quick as int64, and one class at a time stays in cache.
    counts_in = np.min_scalar_type(sum(weight for _, weight in ballots))
    most = np.zeros(len(ballots[0][0]), counts_in)
    winners = np.zeros(len(most), np.uint8)
    for index in (index for index in priority if index in present):
        votes = np.zeros_like(most)
        for values, weight in ballots:
            votes += (values == index) * counts_in.type(weight)
        # Only more votes win, so that of equals the first in priority stays.
        winners[votes > most] = index
        np.maximum(most, votes, out=most)
    return winners
