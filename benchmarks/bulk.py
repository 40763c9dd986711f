"""Speed-up of bulk prediction by a second worker.

Draws photos of 512 x 512 and predicts them with one and with two workers, each time into a new
folder. The start of Ray and the loading of the model take the same time for any number of photos,
so photos per second are counted from the first result on; the total time is printed as well. Then
the second command is repeated, which must do nothing.

    python benchmarks/bulk.py MODEL [NUM_PHOTOS]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from bunri.predict.bulk.job import make_job, run_bulk_job

PHOTO_SIZE_PX = 512
NUM_PHOTOS = 2000


class Clock:
    """Records the time at which each photo was done."""

    def __init__(self) -> None:
        self.start_s = time.perf_counter()
        self.done_s: list[float] = []

    @contextmanager
    def show(self, label: str, total: int) -> Iterator[Callable[[], None]]:
        """Stand in for a progress bar."""
        del label, total
        yield lambda: self.done_s.append(time.perf_counter() - self.start_s)

    @property
    def photos_per_s(self) -> float:
        """Rate after the first portion, whose photos all arrive at once."""
        first, last = self.done_s[0], self.done_s[-1]
        later = sum(done > first + 0.1 for done in self.done_s)
        return later / (last - first)


def draw_photos(folder: Path, count: int) -> None:
    """Write photos with smooth colours, which take as long to decode as real ones."""
    folder.mkdir()
    rng = np.random.default_rng(2021)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        photo = small.resize((PHOTO_SIZE_PX, PHOTO_SIZE_PX), Image.Resampling.BICUBIC)
        photo.save(folder / f"{number:05}.jpg", quality=90)


def main() -> None:
    """Measure and print."""
    model = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else NUM_PHOTOS
    print(f"{count} photos of {PHOTO_SIZE_PX} x {PHOTO_SIZE_PX}, {os.cpu_count()} cores")
    speeds = []
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        draw_photos(photos, count)
        for num_workers in (1, 2):
            clock = Clock()
            job = make_job(model, photos, Path(name) / f"out{num_workers}")
            result = run_bulk_job(job, num_workers=num_workers, progress=clock.show)
            all_s = time.perf_counter() - clock.start_s
            assert result.num_predicted == len(clock.done_s) == count
            assert not result.failures
            speeds.append(clock.photos_per_s)
            print(f"{num_workers} worker(s)  {speeds[-1]:6.2f} photos/s  {all_s:7.1f} s in all")
        start = time.perf_counter()
        again = run_bulk_job(job, num_workers=2, progress=Clock().show)
        assert again.num_predicted == 0
        print(f"the same again  {time.perf_counter() - start:.2f} s, nothing predicted")
    print(f"two workers are {speeds[1] / speeds[0]:.2f} times as fast as one")


if __name__ == "__main__":
    main()
