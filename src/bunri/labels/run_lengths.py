"""Run lengths: COCO's compressed text, checks, and conversion to pixels.

The C decoder of pycocotools trusts its input and writes outside of its buffer when counts are
wrong; this one does not.
"""

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError
from bunri.labels.records import RunLengths

_Ints = npt.NDArray[np.int64]


def decode_counts(text: str) -> _Ints:
    """Return the counts of COCO's compressed run lengths.

    The code of pycocotools' ``rleToString``: six bits a character from '0' on, the fifth bit
    says that more follow, the highest value bit is the sign, and from the fourth count on the
    difference to the count before the last is stored.

    Returns:
        int64 (runs,), run lengths in pixels; not yet checked to be non-negative.
    """
    # In UTF-8 whatever is not ASCII is bytes beyond the code; "?" in its place would be in it.
    codes = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        raise AnnotationError("the run-length text is empty")
    if ((codes < 0) | (codes > 63)).any() or codes[-1] & 32:
        raise AnnotationError("the run-length text is damaged")
    starts = np.concatenate(([0], np.flatnonzero((codes & 32) == 0)[:-1] + 1))
    lengths = np.diff(np.append(starts, codes.size))
    if lengths.max() > 8:  # 40 bits; a photo has far fewer pixels
        raise AnnotationError("the run-length text holds a number beyond any photo")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    is_negative = (codes[starts + lengths - 1] & 16) != 0
    numbers = np.where(is_negative, numbers - (1 << (5 * lengths)), numbers)
    counts = numbers.copy()
    # counts[i] = numbers[i] + counts[i - 2] from i = 3 on: two interleaved running sums.
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts


def encode_counts(counts: _Ints) -> str:
    """Return COCO's compressed run lengths of int64 (runs,); inverse of :func:`decode_counts`."""
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2]
    # With n digits of five bits, two's complement holds -2^(5n-1) up to 2^(5n-1) - 1.
    limits = 1 << (5 * np.arange(1, 13, dtype=np.int64) - 1)
    lengths = np.searchsorted(limits, np.where(numbers < 0, ~numbers, numbers), side="right") + 1
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    digits = np.repeat(numbers, lengths) >> (5 * place) & 31
    digits[place < np.repeat(lengths, lengths) - 1] |= 32
    text: str = (digits + 48).astype(np.uint8).tobytes().decode("ascii")
    return text


def check_counts(counts: _Ints, size_hw: tuple[int, int]) -> None:
    """Raise an error if run lengths do not cover exactly the photo."""
    if (counts < 0).any():
        raise AnnotationError("run lengths must not be negative")
    num_pixels = size_hw[0] * size_hw[1]
    # Summed as Python integers where int64 could overflow: a wrapped sum might look right.
    is_sane = counts.max(initial=0) <= num_pixels
    total = int(counts.sum()) if is_sane else sum(counts.tolist())
    if total != num_pixels:
        raise AnnotationError(
            f"run lengths cover {total} pixels, the size {size_hw} has {num_pixels}"
        )


def join_runs(start: _Ints, stop: _Ints, size_hw: tuple[int, int]) -> RunLengths:
    """Return the spans of one object, as in :class:`Spans`, as run lengths."""
    ends = np.empty(2 * len(start) + 1, np.int64)
    ends[0:-1:2], ends[1::2], ends[-1] = start, stop, size_hw[0] * size_hw[1]
    counts = ends.copy()
    counts[1:] -= ends[:-1]
    return RunLengths(size_hw, counts if counts[-1] else counts[:-1])


def expand_run_lengths(runs: RunLengths) -> npt.NDArray[np.bool_]:
    """Return run lengths as bool (H, W)."""
    height, width = runs.size_hw
    values = np.arange(len(runs.counts)) % 2 == 1
    return np.repeat(values, runs.counts).reshape(width, height).T


def count_pixels(runs: RunLengths) -> int:
    """Return the area of an object in pixels."""
    return int(runs.counts[1::2].sum())
