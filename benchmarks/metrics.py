"""Duration of scores: counting a pair of masks compared with two peers, intervals, and memory.

The truth are rendered scenes of 512 x 512 with 12 classes; the prediction is the truth shifted by
a few pixels with some areas in wrong classes, similar to a network's. The peers, ``_fast_hist`` of
the 2021 notebook and ``JaccardIndex`` of torchmetrics, are given int64 as in their own loops. All
run in turn; ratios are medians over rounds. Random pixels, the worst case, are measured as well.
Every matrix is compared.

    python benchmarks/metrics.py
"""

import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.scenes import render_scene
from bunri.scores.boundary import count_boundary
from bunri.scores.calibration import Calibration
from bunri.scores.confusion import Matrix, count_confusion
from bunri.scores.intervals import bootstrap_difference, bootstrap_scores

NUM_CLASSES, SIZE_PX = 12, 512
NUM_SCENES, NUM_ROUNDS = 8, 41
NUM_TEST_PHOTOS = 837
PHOTO_COUNTS = (250, 2000)
"""Numbers of photos for the comparison of memory."""

Mask = npt.NDArray[np.uint8]
Pair = tuple[Mask, Mask]


def count_as_notebook(truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Matrix:
    """Count like ``_fast_hist`` of wkentaro/pytorch-fcn."""
    valid = (truth >= 0) & (truth < NUM_CLASSES)
    joint = NUM_CLASSES * truth[valid].astype(int) + prediction[valid]
    return np.bincount(joint, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)


def make_pairs(rng: np.random.Generator) -> dict[str, list[Pair]]:
    """Return (truth, prediction) of scenes and of noise."""
    scenes = [render_scene(seed, SIZE_PX).mask for seed in range(NUM_SCENES)]
    mistaken = [mistake(rng, mask) for mask in scenes]
    noise = [tuple(rng.integers(0, NUM_CLASSES, (2, SIZE_PX, SIZE_PX), np.uint8)) for _ in scenes]
    return {"scenes": list(zip(scenes, mistaken, strict=True)), "noise": noise}


def mistake(rng: np.random.Generator, mask: Mask) -> Mask:
    """Return a mask with errors like those of a network."""
    prediction = np.roll(mask, rng.integers(-4, 5, 2), (0, 1))
    for _ in range(8):
        top, left = rng.integers(0, SIZE_PX - 60, 2)
        height, width = rng.integers(5, 60, 2)
        prediction[top : top + height, left : left + width] = rng.integers(0, NUM_CLASSES)
    return prediction


def compare_peers(pairs: list[Pair]) -> dict[str, list[float]]:
    """Return the seconds per pair of each peer, for every round."""
    import torch
    from torchmetrics import JaccardIndex

    torch.set_num_threads(1)
    metric: Any = JaccardIndex(task="multiclass", num_classes=NUM_CLASSES)
    wide = [tuple(mask.astype(np.int64) for mask in pair) for pair in pairs]
    tensors = [tuple(torch.from_numpy(mask) for mask in pair) for pair in wide]
    for (truth, prediction), (wide_truth, wide_prediction) in zip(pairs, wide, strict=True):
        counted = count_confusion(truth, prediction, NUM_CLASSES)
        assert (counted == count_as_notebook(wide_truth, wide_prediction)).all()
    for tensor_truth, tensor_prediction in tensors:
        metric.update(tensor_prediction, tensor_truth)
    total = sum(count_confusion(truth, prediction, NUM_CLASSES) for truth, prediction in pairs)
    assert (metric.confmat == torch.from_numpy(total)).all()
    work: dict[str, Callable[[int], object]] = {
        "bunri": lambda i: count_confusion(*pairs[i], NUM_CLASSES),
        "notebook": lambda i: count_as_notebook(*wide[i]),
        "torchmetrics": lambda i: metric.update(tensors[i][1], tensors[i][0]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(NUM_ROUNDS):
        for name, count in work.items():
            start = time.perf_counter()
            for i in range(len(pairs)):
                count(i)
            seconds[name].append((time.perf_counter() - start) / len(pairs))
    return seconds


def measure(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_peers(name: str, seconds: dict[str, list[float]]) -> None:
    """Print medians, and the ratio of each peer's time to bunri's."""
    print(f"a pair of masks, {SIZE_PX} x {SIZE_PX}, {NUM_CLASSES} classes: {name}")
    for peer, values in seconds.items():
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(values, seconds["bunri"], strict=True)
        )
        print(f"  {peer:<13} {1e3 * statistics.median(values):8.3f} ms  {ratio:6.1f} x")


def print_own(pairs: list[Pair]) -> None:
    """Print the time of the other scores of a photo, and of intervals over the test photos."""
    confidence = np.full((SIZE_PX, SIZE_PX), 0.8, np.float32)
    calibration = Calibration()
    matrices = np.array(
        [count_confusion(*pairs[i % len(pairs)], NUM_CLASSES) for i in range(NUM_TEST_PHOTOS)]
    )
    other = matrices[:, :, ::-1]  # the same truth, other predictions
    for name, unit, work in (
        ("boundary of a pair", "ms", lambda: count_boundary(*pairs[0], NUM_CLASSES)),
        ("calibration of a pair", "ms", lambda: calibration.add(*pairs[0], confidence)),
        (f"1,000 draws of {NUM_TEST_PHOTOS} photos", "s", lambda: bootstrap_scores(matrices)),
        ("the same, paired", "s", lambda: bootstrap_difference(matrices, other)),
    ):
        median_s = statistics.median(measure(work) for _ in range(15))
        print(f"{name:<29} {median_s * (1e3 if unit == 'ms' else 1):7.3f} {unit}")


def score_photos(num_photos: int) -> None:
    """Score photos like ``bunri evaluate``, and print the peak memory in MB."""
    rng = np.random.default_rng(0)
    calibration, kept = Calibration(), []
    truth = render_scene(0, SIZE_PX).mask
    for _ in range(num_photos):
        prediction = mistake(rng, truth)
        counts = count_boundary(truth, prediction, NUM_CLASSES)
        calibration.add(truth, prediction, rng.random(truth.shape, np.float32))
        kept.append((count_confusion(truth, prediction, NUM_CLASSES), counts))
    bootstrap_scores(np.array([matrix for matrix, _ in kept]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:]:
        score_photos(int(sys.argv[1]))
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    # First, because a new process starts with the peak memory of its parent.
    for num_photos in PHOTO_COUNTS:
        done = subprocess.run(
            [sys.executable, __file__, str(num_photos)], capture_output=True, text=True, check=True
        )
        print(f"peak memory for {num_photos:>4} photos {float(done.stdout):10.1f} MB")
    pairs = make_pairs(np.random.default_rng(2021))
    print_own(pairs["scenes"])
    for name, some in pairs.items():
        print_peers(name, compare_peers(some))


if __name__ == "__main__":
    main()
