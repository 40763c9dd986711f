"""How long a full submission.csv takes to write, read and check.

Writes 837 rows into a temporary folder, reads and checks the same file, three times each, and
prints the medians. The notebook's way, one ``str`` per pixel, is measured on a few rows and
scaled up; the file it would write is not written.

    python benchmarks/submission.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bunri.contracts import MaskArray
from bunri.submission import (
    SUBMISSION_SIZE_PX,
    check_submission,
    read_submission,
    shrink_mask,
    write_submission,
)

NUM_ROWS = 837
NUM_ROWS_JOINED = 40
NUM_RUNS = 3


def draw_mask(rng: np.random.Generator) -> MaskArray:
    """Return a (256, 256) mask of rectangles of all 12 classes, shrunk from 512 x 512."""
    mask = np.zeros((512, 512), np.uint8)
    for value in rng.permutation(np.arange(1, 12, dtype=np.uint8)):
        top, left = rng.integers(0, 384, 2)
        height, width = rng.integers(32, 256, 2)
        mask[top : top + height, left : left + width] = value
    return shrink_mask(mask)


def join_pixels(masks: list[MaskArray]) -> int:
    """Encode masks as the notebook did; return the number of characters."""
    return sum(len(" ".join(str(e) for e in mask.reshape(-1))) for mask in masks)


def measure_seconds(work: Callable[[], object]) -> float:
    """Return the median wall-clock seconds of a few runs."""
    seconds = []
    for _ in range(NUM_RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(2021)
    masks = [draw_mask(rng) for _ in range(NUM_ROWS_JOINED)]
    ids = [f"batch_01/{number:04}.jpg" for number in range(NUM_ROWS)]

    def make_rows() -> Iterator[tuple[str, MaskArray]]:
        for number, image_id in enumerate(ids):
            yield image_id, masks[number % len(masks)]

    joining = measure_seconds(lambda: join_pixels(masks)) * NUM_ROWS / NUM_ROWS_JOINED
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.csv"
        writing = measure_seconds(lambda: write_submission(path, make_rows()))
        reading = measure_seconds(lambda: sum(1 for _ in read_submission(path)))
        checking = measure_seconds(lambda: check_submission(path, ids))
        check = check_submission(path, ids)
        assert check.ok
        assert check.num_rows == NUM_ROWS
        megabytes = path.stat().st_size / 1e6
    side = SUBMISSION_SIZE_PX
    print(f"{NUM_ROWS} rows of {side} x {side}, {megabytes:.1f} MB; medians of {NUM_RUNS} runs")
    print(f"join of str per pixel  {joining:7.2f} s  scaled up from {NUM_ROWS_JOINED} rows")
    print(
        f"write_submission       {writing:7.2f} s  {megabytes / writing:6.0f} MB/s  "
        f"{joining / writing:.0f} times as fast as the join, disk included"
    )
    print(f"read_submission        {reading:7.2f} s  {megabytes / reading:6.0f} MB/s")
    print(f"check_submission       {checking:7.2f} s  {megabytes / checking:6.0f} MB/s")


if __name__ == "__main__":
    main()
