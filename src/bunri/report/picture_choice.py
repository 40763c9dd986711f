"""Choice of the photos that a page shows, made while they are predicted."""

import heapq

import numpy as np

from bunri.core.contracts import ImageArray, MaskArray
from bunri.labels.records import Photo
from bunri.report.mistakes import Mistakes
from bunri.report.pictures import MAX_PICTURE_BYTES, Picture, make_picture, sort_pictures
from bunri.scores.confusion import ClassCounts

MAX_PHOTOS = 100
"""Most photos on one page."""
NUM_WORST = 60
"""Number of worst photos of a larger set; the others are spread evenly over the file."""
_MAX_PAGE_BYTES = 9_000_000  # of all pictures, as base64; plotly.js takes another 5 million


class PictureKeeper:
    """Keeps the photos that a page shows: all of a small set, else the worst and some more."""

    def __init__(self, num_photos: int, num_classes: int) -> None:
        empty = np.zeros((num_classes, num_classes), np.int64)
        self._num_classes = num_classes
        self._num_seen = 0
        self._kept: dict[int, Picture] = {}
        self._worst: list[tuple[float, int]] = []  # (-mIoU, -position), the best of them first
        self.mistakes = Mistakes(empty, empty)
        num_shown = min(num_photos, MAX_PHOTOS)
        self._max_bytes = min(MAX_PICTURE_BYTES, _MAX_PAGE_BYTES // max(1, num_shown))
        num_spread = num_photos if num_photos <= MAX_PHOTOS else MAX_PHOTOS - NUM_WORST
        places = np.linspace(0, num_photos - 1, num_spread)
        self._spread = frozenset(places.round().astype(int).tolist())

    def watch(
        self, photo: Photo, image: ImageArray, truth: MaskArray, prediction: MaskArray
    ) -> None:
        """Take the next photo, uint8 (H, W, 3) RGB, and its masks, uint8 (H, W)."""
        number, self._num_seen = self._num_seen, self._num_seen + 1
        mistakes = Mistakes.of(truth, prediction, self._num_classes)
        self.mistakes += mistakes
        if self._is_wanted(number, float(ClassCounts.of(mistakes.matrix).miou)):
            self._kept[number] = make_picture(
                photo, image, truth, prediction, mistakes, self._max_bytes
            )

    def _is_wanted(self, number: int, miou: float) -> bool:
        """Return whether a photo is shown as things stand; drop the one it displaces."""
        if number in self._spread:
            return True
        if np.isnan(miou):
            return False
        heapq.heappush(self._worst, (-miou, -number))  # of equals, the first in the file stays
        if len(self._worst) <= NUM_WORST:
            return True
        displaced = -heapq.heappop(self._worst)[1]
        self._kept.pop(displaced, None)
        return displaced != number

    def list_pictures(self) -> list[Picture]:
        """Return the photos that were kept, the worst first."""
        return sort_pictures(picture for _, picture in sorted(self._kept.items()))
