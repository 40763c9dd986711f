"""Class probabilities of one photo, read plane by plane so that memory stays small.

Twelve planes of a 12-megapixel photo take 576 MB. A :class:`ClassPlanes` holds them at the size at
which the network gave them and enlarges one plane at a time, as often as it is iterated.
"""

import copy
import tempfile
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from functools import partial
from typing import IO, Self

import numpy as np

from bunri.core.contracts import FloatArray
from bunri.images.frames import Frame, crop_content
from bunri.images.resizing import find_source_rows, resize_rows

BAND_PIXELS = 2**16
"""Pixels of a band of rows: its planes fit into a core's cache, and few classes win in it."""


class ClassPlanes(ABC):
    """Probabilities at the photo's size, one float32 (H, W) plane per class in index order."""

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the planes."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of classes."""

    @abstractmethod
    def __iter__(self) -> Iterator[FloatArray]:
        """Yield the planes; each iteration starts anew."""

    def split(self) -> "Iterator[tuple[slice, ClassPlanes]]":
        """Yield bands of rows from top to bottom: the rows and their planes."""
        yield slice(0, self.size_hw[0]), self

    def list_contenders(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index, plane) of every class that may be the most probable one somewhere.

        Planes may lack a term that is the same for all classes at a pixel.
        """
        return enumerate(self)

    def select(self, indices: Collection[int]) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index, plane) of some classes, in index order."""
        return ((index, plane) for index, plane in enumerate(self) if index in indices)


def list_bands(size_hw: tuple[int, int]) -> list[slice]:
    """Return the rows of each band of a photo."""
    height, width = size_hw
    step = max(1, BAND_PIXELS // width)
    return [slice(first, min(first + step, height)) for first in range(0, height, step)]


def find_contenders(maxima: FloatArray, total: float) -> list[int]:
    """Return the classes that may be the most probable one somewhere, in index order.

    All classes sum to at least ``total`` at each pixel. Without some classes, at their maxima at
    most, the best of the others has at least an equal share of the rest; a class whose maximum is
    below that share wins nowhere.

    Args:
        maxima: Highest probability of each class, float32 (C,).
        total: Lowest sum over classes at any pixel.
    """
    order: list[int] = np.argsort(maxima, kind="stable").tolist()
    left = total
    for place, index in enumerate(order[:-1]):
        left -= float(maxima[index])
        if maxima[index] > left / (len(order) - place - 1) - 1e-5:
            return sorted(order[place:])
    return order[-1:]


class _ResizedPlanes(ClassPlanes):
    """Planes stored at another size; each row is interpolated bilinearly when it is read."""

    def __init__(
        self, num_classes: int, source_hw: tuple[int, int], photo_hw: tuple[int, int]
    ) -> None:
        self._num_classes = num_classes
        self._source_hw = source_hw
        self._photo_hw = photo_hw
        self._rows = slice(0, photo_hw[0])

    @abstractmethod
    def _read(self, index: int, rows: slice) -> FloatArray:
        """Return stored rows of one class, float32 (rows, w)."""

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._rows.stop - self._rows.start, self._photo_hw[1]

    def __len__(self) -> int:
        return self._num_classes

    def __iter__(self) -> Iterator[FloatArray]:
        return (plane for _, plane in self.select(range(self._num_classes)))

    def select(self, indices: Collection[int]) -> Iterator[tuple[int, FloatArray]]:
        for index in sorted(indices):
            read = partial(self._read, index)
            yield index, resize_rows(read, self._source_hw, self._photo_hw, self._rows)

    def split(self) -> Iterator[tuple[slice, Self]]:
        for rows in list_bands(self._photo_hw):
            band = copy.copy(self)
            band._rows = rows
            yield rows, band


class FramePlanes(_ResizedPlanes):
    """Planes in memory at the network's size.

    Args:
        probs: float32 (C, h, w) of the photo's content, without padding.
    """

    def __init__(self, probs: FloatArray, photo_hw: tuple[int, int]) -> None:
        super().__init__(len(probs), (probs.shape[1], probs.shape[2]), photo_hw)
        self._probs = probs

    @classmethod
    def from_frame(cls, probs: FloatArray, frame: Frame) -> Self:
        """Undo :meth:`bunri.images.frames.Preprocessing.prepare`.

        Args:
            probs: float32 (C, h / s, w / s) over the frame, at the network's stride s.
            frame: Network input that ``probs`` were computed from.
        """
        frame_hw = frame.pixels.shape[1], frame.pixels.shape[2]
        return cls(crop_content(probs, frame_hw, frame.content_hw), frame.photo_hw)

    def _read(self, index: int, rows: slice) -> FloatArray:
        return self._probs[index, rows]

    def list_contenders(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield contenders less the first of them, which then need not be enlarged.

        Interpolated values lie between stored ones, and interpolation is linear: the difference
        of two enlarged planes is the enlarged difference.
        """
        needed = find_source_rows(self._source_hw[0], self._photo_hw[0], self._rows)
        probs = self._probs[:, needed]
        total = float(probs.sum(axis=0).min())
        first, *others = find_contenders(probs.max(axis=(1, 2)), total)
        yield first, np.zeros(self.size_hw, np.float32)
        for index in others:
            difference = self._probs[index] - self._probs[first]
            read = difference.__getitem__
            yield index, resize_rows(read, self._source_hw, self._photo_hw, self._rows)


class StoredPlanes(_ResizedPlanes):
    """Planes too large for memory, in an unnamed file that is deleted with this object."""

    def __init__(
        self, num_classes: int, source_hw: tuple[int, int], photo_hw: tuple[int, int]
    ) -> None:
        super().__init__(num_classes, source_hw, photo_hw)
        self._file = _RowFile(source_hw)

    def write_rows(self, first_row: int, rows: FloatArray) -> None:
        """Store some rows of all planes, float32 (C, rows, w)."""
        for index, part in enumerate(rows):
            self._file.write(index, first_row, part)

    def _read(self, index: int, rows: slice) -> FloatArray:
        return self._file.read(index, rows)


class _RowFile:
    """A temporary file of float32 planes of one size; threads may share it."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._height, self._width = size_hw
        self._lock = threading.Lock()
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        weakref.finalize(self, self._file.close)

    def write(self, index: int, first_row: int, part: FloatArray) -> None:
        with self._lock:
            self._seek(index, first_row)
            self._file.write(np.ascontiguousarray(part, np.float32).tobytes())

    def read(self, index: int, rows: slice) -> FloatArray:
        with self._lock:
            self._seek(index, rows.start)
            content = self._file.read(4 * self._width * (rows.stop - rows.start))
        return np.frombuffer(content, np.float32).reshape(-1, self._width)

    def _seek(self, index: int, row: int) -> None:
        self._file.seek(4 * self._width * (index * self._height + row))
