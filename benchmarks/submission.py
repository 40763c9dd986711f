"""Time to write, read, check and vote on full submission files.

Writes 837 rows to a temporary folder, then reads and checks the same file, three times each, and
prints medians with their processor time, which depends less on other load. The notebook's way, one
``str`` per pixel, is measured on a few rows and scaled up; its output is compared byte by byte.
Ten different files are voted on in a new process whose peak memory is printed; the first rows of
the result are compared with a vote in plain Python.

    python benchmarks/submission.py
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from bunri.core.contracts import MaskArray
from bunri.core.files import measure_peak_memory_bytes
from bunri.submission.check import check_submission
from bunri.submission.format import HEADER, SUBMISSION_SIZE_PX, shrink_mask
from bunri.submission.stream import read_submission, write_submission
from bunri.submission.vote import complete_priority, vote_submissions

NUM_ROWS = 837
NUM_ROWS_JOINED = 40
NUM_RUNS = 3
NUM_VOTERS = 10
NUM_ROWS_RECOUNTED = 8


def draw_mask(rng: np.random.Generator) -> MaskArray:
    """Return a (256, 256) mask of rectangles of all 12 classes, shrunk from 512 x 512."""
    mask = np.zeros((512, 512), np.uint8)
    for value in rng.permutation(np.arange(1, 12, dtype=np.uint8)):
        top, left = rng.integers(0, 384, 2)
        height, width = rng.integers(32, 256, 2)
        mask[top : top + height, left : left + width] = value
    return shrink_mask(mask)


def disturb_mask(mask: MaskArray, rng: np.random.Generator) -> MaskArray:
    """Return the mask of another model: shifted, with a rectangle of another class."""
    other = np.roll(mask, rng.integers(-6, 7, 2), (0, 1))
    top, left = rng.integers(0, 200, 2)
    other[top : top + 40, left : left + 40] = rng.integers(0, 12)
    return other


def join_rows(masks: list[MaskArray], ids: list[str]) -> str:
    """Return rows encoded like in the notebook."""
    rows = zip(ids, masks, strict=True)
    return "".join(f"{name},{' '.join(str(e) for e in mask.reshape(-1))}\n" for name, mask in rows)


def measure_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of wall-clock and processor seconds over a few runs."""
    walls, processors = [], []
    for _ in range(NUM_RUNS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return statistics.median(walls), statistics.median(processors)


def vote(paths: list[Path], out: Path) -> tuple[float, float, int]:
    """Vote on files with ties; return wall-clock and processor seconds and peak bytes."""
    wall, processor = time.perf_counter(), time.process_time()
    order = complete_priority((), paths[0], 12)
    write_submission(out, vote_submissions(paths, (1,) * len(paths), order))
    seconds = time.perf_counter() - wall, time.process_time() - processor
    return *seconds, measure_peak_memory_bytes() or 0


def recount(paths: list[Path]) -> str:
    """Return the first rows of a vote in plain Python; ties go to the first in priority."""
    order = complete_priority((), paths[0], 12)
    text = f"{HEADER}\n"
    with ExitStack() as stack:
        files = [stack.enter_context(path.open()) for path in paths]
        for file in files:
            next(file)
        for lines in islice(zip(*files, strict=True), NUM_ROWS_RECOUNTED):
            names, strings = zip(*(line.rstrip("\n").split(",") for line in lines), strict=True)
            assert len(set(names)) == 1
            pixels = zip(*(map(int, string.split()) for string in strings), strict=True)
            voted = [max(set(v), key=lambda c: (v.count(c), -order.index(c))) for v in pixels]
            text += f"{names[0]},{' '.join(map(str, voted))}\n"
    return text


def measure_vote(folder: Path, masks: list[MaskArray], ids: list[str]) -> tuple[float, float, int]:
    """Write ten files and vote on them in a new process; see :func:`vote`."""
    paths = [folder / f"{number}.csv" for number in range(NUM_VOTERS)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        others = [disturb_mask(mask, rng) for mask in masks]
        write_submission(path, ((name, others[i % len(others)]) for i, name in enumerate(ids)))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        measured = pool.apply(vote, (paths, folder / "voted.csv"))
    expected = recount(paths).encode()
    with (folder / "voted.csv").open("rb") as file:
        assert file.read(len(expected)) == expected
    return measured


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(2021)
    masks = [draw_mask(rng) for _ in range(NUM_ROWS_JOINED)]
    ids = [f"batch_01/{number:04}.jpg" for number in range(NUM_ROWS)]

    def make_rows() -> Iterator[tuple[str, MaskArray]]:
        for number, image_id in enumerate(ids):
            yield image_id, masks[number % len(masks)]

    joining = [
        seconds * NUM_ROWS / NUM_ROWS_JOINED
        for seconds in measure_seconds(lambda: join_rows(masks, ids[:NUM_ROWS_JOINED]))
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "submission.csv"
        writing = measure_seconds(lambda: write_submission(path, make_rows()))
        reading = measure_seconds(lambda: sum(1 for _ in read_submission(path)))
        checking = measure_seconds(lambda: check_submission(path, ids))
        check = check_submission(path, ids)
        assert check.ok
        assert check.num_rows == NUM_ROWS
        expected = f"{HEADER}\n{join_rows(masks, ids[:NUM_ROWS_JOINED])}".encode()
        with path.open("rb") as file:
            assert file.read(len(expected)) == expected
        megabytes = path.stat().st_size / 1e6
        *voting, peak_bytes = measure_vote(folder, masks, ids)
    side = SUBMISSION_SIZE_PX
    print(f"{NUM_ROWS} rows of {side} x {side}, {megabytes:.1f} MB; medians of {NUM_RUNS} runs")
    print(f"join of str per pixel  {show(joining)}  scaled up from {NUM_ROWS_JOINED} rows")
    print(
        f"write_submission       {show(writing)}  {joining[0] / writing[0]:.0f} times as fast as "
        "the join, disk included; the same bytes"
    )
    print(f"read_submission        {show(reading)}")
    print(f"check_submission       {show(checking)}")
    print(
        f"vote of {NUM_VOTERS} files       {show(voting)}  one run, writing included, "
        f"peak {peak_bytes / 1e6:.0f} MB; {NUM_ROWS_RECOUNTED} rows recounted, the same bytes"
    )


def show(seconds: Sequence[float]) -> str:
    """Return wall-clock and processor seconds as text."""
    return f"{seconds[0]:7.2f} s  (processor {seconds[1]:6.2f} s)"


if __name__ == "__main__":
    main()
