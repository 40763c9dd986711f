"""Probabilities of a photo class by class, which never lie all at the photo's size in memory.

Owns how planes are kept, combined and decided. Knows nothing of models.

Of a 12-megapixel photo twelve planes are 576 MB; each of these gives one at a time, and may be gone
through again and again.
"""

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import IO, Protocol, Self

import numpy as np
import numpy.typing as npt

from bunri.contracts import FloatArray, MaskArray
from bunri.images import resize_plane


class ClassPlanes(Protocol):
    """Probabilities in the photo's own frame, float32 (H, W) for each class in index order."""

    def __len__(self) -> int:
        """Return the number of classes."""

    def __iter__(self) -> Iterator[FloatArray]:
        """Give the planes; again from the first each time."""


class FramePlanes:
    """Planes kept at another size.

    Args:
        probs: float32 (C, h, w) of the photo's content, without padding.
        photo_hw: Height and width of the photo.
    """

    def __init__(self, probs: FloatArray, photo_hw: tuple[int, int]) -> None:
        self._probs = probs
        self._photo_hw = photo_hw

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self._probs)

    def __iter__(self) -> Iterator[FloatArray]:
        """Give each plane at the photo's size, bilinear: sums over classes stay."""
        for plane in self._probs:
            yield resize_plane(plane, self._photo_hw)


class StoredPlanes:
    """Planes too large for memory, in a file without a name that goes when nobody needs it.

    Args:
        num_classes: Classes.
        size_hw: Height and width at which planes are kept.
        photo_hw: Height and width of the photo.
    """

    def __init__(
        self, num_classes: int, size_hw: tuple[int, int], photo_hw: tuple[int, int]
    ) -> None:
        self._num_classes = num_classes
        self._size_hw = size_hw
        self._photo_hw = photo_hw
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        weakref.finalize(self, self._file.close)

    def write_rows(self, first_row: int, rows: FloatArray) -> None:
        """Keep some rows of all planes, float32 (C, rows, w)."""
        height, width = self._size_hw
        for index, part in enumerate(rows):
            self._file.seek(4 * width * (index * height + first_row))
            self._file.write(np.ascontiguousarray(part, np.float32).tobytes())

    def __len__(self) -> int:
        """Return the number of classes."""
        return self._num_classes

    def __iter__(self) -> Iterator[FloatArray]:
        """Give each plane at the photo's size, bilinear."""
        height, width = self._size_hw
        for index in range(self._num_classes):
            self._file.seek(4 * width * height * index)
            content = self._file.read(4 * width * height)
            plane = np.frombuffer(content, np.float32).reshape(self._size_hw)
            yield resize_plane(plane, self._photo_hw)


class MeanPlanes:
    """The weighted mean of planes of several models.

    Args:
        members: At least one.
        weights: One each, sum above 0.
    """

    def __init__(self, members: Sequence[ClassPlanes], weights: Sequence[float]) -> None:
        self._members = members
        self._weights = np.asarray(weights, np.float64) / sum(weights)

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self._members[0])

    def __iter__(self) -> Iterator[FloatArray]:
        """Give the mean of each class."""
        for planes in zip(*self._members, strict=True):
            yield sum_weighted(planes, self._weights.tolist())


class VotePlanes:
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


class MinMaxPlanes:
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


class Decider:
    """Chooses a class for each pixel.

    Args:
        order: All class indices, who wins between equals first.
        claims: Class index -> the probability at which it takes a pixel, who goes first first.
    """

    def __init__(self, order: Sequence[int], claims: dict[int, float]) -> None:
        self._rank = np.empty(len(order), np.uint8)
        self._rank[list(order)] = np.arange(len(order))
        self._claims = claims

    @classmethod
    def plain(cls, num_classes: int) -> Self:
        """Return one that takes the most probable class."""
        return cls(range(num_classes), {})

    def choose(self, planes: ClassPlanes) -> tuple[MaskArray, FloatArray]:
        """Return the class of each pixel, uint8 (H, W), and its probability, float32 (H, W)."""
        mask, best = self._choose_most_probable(planes)
        if self._claims:
            claimed = self._find_claimed(planes, mask)
            mask = np.where(claimed == NO_CLASS, mask, claimed)
            best = gather(planes, mask)
        return mask, best

    def _choose_most_probable(self, planes: ClassPlanes) -> tuple[MaskArray, FloatArray]:
        rest = iter(planes)
        best = next(rest).copy()
        mask = np.zeros(best.shape, np.uint8)
        is_ordered = bool((np.diff(self._rank.astype(int)) > 0).all())
        for index, plane in enumerate(rest, start=1):
            wins = plane > best
            if not is_ordered:
                wins |= (plane == best) & (self._rank[index] < self._rank[mask])
            mask[wins] = index
            np.copyto(best, plane, where=wins)
        return mask, best

    def _find_claimed(self, planes: ClassPlanes, mask: MaskArray) -> MaskArray:
        turn = {index: place for place, index in enumerate(self._claims)}
        first = np.full(mask.shape, NO_CLASS, np.uint8)
        for index, plane in enumerate(planes):
            if index in turn:
                reached = plane >= self._claims[index]
                np.minimum(first, turn[index], out=first, where=reached)
        names = np.array([*self._claims, *[NO_CLASS] * (256 - len(self._claims))], np.uint8)
        claimed: MaskArray = names[first]
        return claimed


NO_CLASS = 255


def gather(planes: ClassPlanes, mask: npt.NDArray[np.uint8]) -> FloatArray:
    """Return the probability of the class that ``mask`` holds at each pixel, float32 (H, W)."""
    result = np.zeros(mask.shape, np.float32)
    for index, plane in enumerate(planes):
        np.copyto(result, plane, where=mask == index)
    return result
