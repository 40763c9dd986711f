"""Probabilities of a photo class by class, which never lie all at the photo's size in memory.

Owns how planes are kept, combined and cut into bands of rows. Knows nothing of models.

Of a 12-megapixel photo twelve planes are 576 MB; each of these gives one at a time, and may be gone
through again and again.
"""

import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO

import numpy as np

from bunri.core.contracts import FloatArray, MaskArray
from bunri.images.frames import Frame, crop_content
from bunri.images.resizing import find_source_rows, resize_plane, resize_rows

BAND_PIXELS = 2**16
"""Of a band: its planes stay in a core's own memory, and only few classes may win in it."""


class ClassPlanes(ABC):
    """Probabilities in the photo's own frame, float32 (H, W) for each class in index order."""

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of classes."""

    @abstractmethod
    def __iter__(self) -> Iterator[FloatArray]:
        """Give the planes; again from the first each time."""

    def split(self) -> "Iterator[tuple[slice, ClassPlanes]]":
        """Give rows and their planes, from the top to the bottom; all at once where need be."""
        yield slice(0, self.size_hw[0]), self

    def list_contenders(self) -> Iterator[tuple[int, FloatArray]]:
        """Give each class that may be the most probable one somewhere, in index order.

        With its index comes its plane, less something that is the same for all classes at a pixel.
        """
        return enumerate(self)

    def select(self, indices: Collection[int]) -> Iterator[tuple[int, FloatArray]]:
        """Give index and plane of some classes, in index order."""
        return ((index, plane) for index, plane in enumerate(self) if index in indices)


def list_bands(size_hw: tuple[int, int]) -> list[slice]:
    """Return the rows of each band."""
    height, width = size_hw
    step = max(1, BAND_PIXELS // width)
    return [slice(first, min(first + step, height)) for first in range(0, height, step)]


def find_contenders(maxima: FloatArray, total: float) -> list[int]:
    """Return the classes that may be the most probable one somewhere, in index order.

    Where all have ``total`` together and some of them at most their maxima, the best of the
    others has at least its share of the rest; whoever has less than that at most, wins nowhere.

    Args:
        maxima: The most that each class has anywhere, float32 (C,).
        total: The least that all classes have together anywhere.
    """
    order: list[int] = np.argsort(maxima, kind="stable").tolist()
    left = total
    for place, index in enumerate(order[:-1]):
        left -= float(maxima[index])
        if maxima[index] > left / (len(order) - place - 1) - 1e-5:
            return sorted(order[place:])
    return order[-1:]


class FramePlanes(ClassPlanes):
    """Planes kept at another size.

    Args:
        probs: float32 (C, h, w) of the photo's content, without padding.
        photo_hw: Height and width of the photo.
        rows: Which rows of the photo; None for all.
    """

    def __init__(
        self, probs: FloatArray, photo_hw: tuple[int, int], rows: slice | None = None
    ) -> None:
        self._probs = probs
        self._photo_hw = photo_hw
        self._rows = rows or slice(0, photo_hw[0])

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""
        return self._rows.stop - self._rows.start, self._photo_hw[1]

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self._probs)

    def __iter__(self) -> Iterator[FloatArray]:
        """Give each plane at the photo's size, bilinear: sums over classes stay."""
        return map(self._resize, self._probs)

    def select(self, indices: Collection[int]) -> Iterator[tuple[int, FloatArray]]:
        """Give some planes; the others are not enlarged."""
        return ((index, self._resize(self._probs[index])) for index in sorted(indices))

    def _resize(self, plane: FloatArray) -> FloatArray:
        source_hw = plane.shape[0], plane.shape[1]
        return resize_rows(plane.__getitem__, source_hw, self._photo_hw, self._rows)

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Give bands of rows."""
        for rows in list_bands(self._photo_hw):
            yield rows, FramePlanes(self._probs, self._photo_hw, rows)

    def list_contenders(self) -> Iterator[tuple[int, FloatArray]]:
        """Give those that may win, less the first of them, which need not be enlarged then.

        Interpolated values lie between those that are kept, and their differences are those of
        what is interpolated.
        """
        height = self._probs.shape[1]
        probs = self._probs[:, find_source_rows(height, self._photo_hw[0], self._rows)]
        total = float(probs.sum(axis=0).min())
        first, *others = find_contenders(probs.max(axis=(1, 2)), total)
        yield first, np.zeros(self.size_hw, np.float32)
        for index in others:
            yield index, self._resize(self._probs[index] - self._probs[first])


class StoredPlanes(ClassPlanes):
    """Planes too large for memory, in a file without a name that goes when nobody needs it.

    Args:
        num_classes: Classes.
        source_hw: Height and width at which planes are kept.
        photo_hw: Height and width of the photo.
    """

    def __init__(
        self, num_classes: int, source_hw: tuple[int, int], photo_hw: tuple[int, int]
    ) -> None:
        self._num_classes = num_classes
        self._source_hw = source_hw
        self._photo_hw = photo_hw
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        weakref.finalize(self, self._file.close)

    def write_rows(self, first_row: int, rows: FloatArray) -> None:
        """Keep some rows of all planes, float32 (C, rows, w)."""
        height, width = self._source_hw
        for index, part in enumerate(rows):
            self._file.seek(4 * width * (index * height + first_row))
            self._file.write(np.ascontiguousarray(part, np.float32).tobytes())

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""
        return self._photo_hw

    def __len__(self) -> int:
        """Return the number of classes."""
        return self._num_classes

    def __iter__(self) -> Iterator[FloatArray]:
        """Give each plane at the photo's size, bilinear."""
        return self.read(slice(0, self._photo_hw[0]))

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Give bands of rows."""
        for rows in list_bands(self._photo_hw):
            yield rows, _StoredBand(self, rows)

    def read(self, rows: slice) -> Iterator[FloatArray]:
        """Give some rows of each plane at the photo's size."""
        height, width = self._source_hw
        for index in range(self._num_classes):

            def read_rows(kept: slice, first: int = index * height) -> FloatArray:
                self._file.seek(4 * width * (first + kept.start))
                content = self._file.read(4 * width * (kept.stop - kept.start))
                return np.frombuffer(content, np.float32).reshape(-1, width)

            yield resize_rows(read_rows, self._source_hw, self._photo_hw, rows)


class _StoredBand(ClassPlanes):
    """Some rows of stored planes."""

    def __init__(self, whole: StoredPlanes, rows: slice) -> None:
        self._whole = whole
        self._rows = rows

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._rows.stop - self._rows.start, self._whole.size_hw[1]

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[FloatArray]:
        return self._whole.read(self._rows)


class MeanPlanes(ClassPlanes):
    """The weighted mean of planes of several models.

    Args:
        members: At least one.
        weights: One each, sum above 0.
    """

    def __init__(self, members: Sequence[ClassPlanes], weights: Sequence[float]) -> None:
        self._members = members
        self._weights = np.asarray(weights, np.float64) / sum(weights)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""
        return self._members[0].size_hw

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self._members[0])

    def __iter__(self) -> Iterator[FloatArray]:
        """Give the mean of each class."""
        for planes in zip(*self._members, strict=True):
            yield sum_weighted(planes, self._weights.tolist())

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Give bands of rows, those of the members."""
        for bands in zip(*(member.split() for member in self._members), strict=True):
            yield bands[0][0], MeanPlanes([band for _, band in bands], self._weights.tolist())


class VotePlanes(ClassPlanes):
    """The share of votes for each class.

    Args:
        masks: uint8 (H, W), one of each model.
        weights: One each, sum above 0.
        num_classes: Classes.
    """

    def __init__(
        self, masks: Sequence[MaskArray], weights: Sequence[float], num_classes: int
    ) -> None:
        self._masks = masks
        self._weights = weights
        self._num_classes = num_classes

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self._masks[0].shape
        return height, width

    def __len__(self) -> int:
        """Return the number of classes."""
        return self._num_classes

    def __iter__(self) -> Iterator[FloatArray]:
        """Give the share of votes, summed in float64 so that ties are ties."""
        total = sum(self._weights)
        for index in range(self._num_classes):
            votes = np.zeros(self._masks[0].shape, np.float64)
            for mask, weight in zip(self._masks, self._weights, strict=True):
                votes[mask == index] += weight
            yield (votes / total).astype(np.float32)

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Give bands of rows."""
        for rows in list_bands(self.size_hw):
            masks = [mask[rows] for mask in self._masks]
            yield rows, VotePlanes(masks, self._weights, self._num_classes)


class MinMaxPlanes(ClassPlanes):
    """The mean of logits, each model's stretched to 0..1 over the photo, as shares of their sum.

    A backend gives probabilities; their logarithms are its logits but for a constant at each
    pixel. What is less probable than ``FLOOR`` counts as that.

    Args:
        members: At least one.
        weights: One each, sum above 0.
    """

    FLOOR = 1e-4

    def __init__(self, members: Sequence[ClassPlanes], weights: Sequence[float]) -> None:
        self._members = members
        self._weights = [weight / sum(weights) for weight in weights]
        self._ranges = [self._measure_range(planes) for planes in members]
        self._total = np.maximum(sum(self._give_means()), 1e-6)

    def _measure_range(self, planes: ClassPlanes) -> tuple[float, float]:
        ends = [(float(plane.min()), float(plane.max())) for plane in planes]
        low = max(self.FLOOR, min(low for low, _ in ends))
        return float(np.log(low)), float(np.log(max(low, *(high for _, high in ends))))

    def _give_means(self) -> Iterator[FloatArray]:
        for planes in zip(*self._members, strict=True):
            stretched = [
                (np.log(np.maximum(plane, self.FLOOR)) - low) / max(high - low, 1e-6)
                for plane, (low, high) in zip(planes, self._ranges, strict=True)
            ]
            yield sum_weighted(stretched, self._weights)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""
        return self._members[0].size_hw

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self._members[0])

    def __iter__(self) -> Iterator[FloatArray]:
        """Give each class's share."""
        for plane in self._give_means():
            yield np.asarray(plane / self._total, np.float32)


def sum_weighted(planes: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return the weighted sum of arrays of one shape, float32."""
    result = np.zeros(planes[0].shape, np.float32)
    for plane, weight in zip(planes, weights, strict=True):
        result += np.float32(weight) * plane
    return result


def restore_planes(probs: FloatArray, frame: Frame) -> Iterator[FloatArray]:
    """Yield what :func:`restore_probs` returns class by class, each float32 (H, W).

    Nobody holds all classes at the photo's size then: for 12 megapixels that is 576 MB.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.
    """
    height, width = frame.pixels.shape[1:]
    for plane in crop_content(probs, (height, width), frame.content_hw):
        yield resize_plane(plane, frame.photo_hw)


def restore_probs(probs: FloatArray, frame: Frame) -> FloatArray:
    """Return probabilities of the network frame in the photo's own frame.

    The exact inverse of :meth:`Preprocessing.prepare`: padding is cut off, then each class is
    interpolated bilinearly; interpolation keeps the sum over classes at 1.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.

    Returns:
        float32 (C, H, W).
    """
    return np.stack(list(restore_planes(probs, frame)))


def restore_mask(probs: FloatArray, frame: Frame) -> MaskArray:
    """Return the most probable class of each pixel of the photo.

    The same as argmax of ``restore_probs(...)`` without ever holding all classes at the photo's
    size: a 12-megapixel photo would need 576 MB.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.

    Returns:
        uint8 (H, W).
    """
    return choose_classes(restore_planes(probs, frame))[0]


def choose_classes(planes: Iterable[FloatArray]) -> tuple[MaskArray, FloatArray]:
    """Return the most probable class of each pixel, and how probable it is.

    Args:
        planes: Class by class the probabilities, float32 (H, W); at least one class.

    Returns:
        uint8 (H, W), the lower index between equals, and float32 (H, W).
    """
    rest = iter(planes)
    best = next(rest).copy()
    mask = np.zeros(best.shape, np.uint8)
    for index, plane in enumerate(rest, start=1):
        wins = plane > best
        mask[wins] = index
        np.copyto(best, plane, where=wins)
    return mask, best
