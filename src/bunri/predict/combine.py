"""Probabilities of several models combined into one: mean, votes, or mean of stretched logits."""

from collections.abc import Iterator, Sequence

import numpy as np

from bunri.core.contracts import FloatArray, MaskArray
from bunri.images.decider import Decider
from bunri.images.planes import ClassPlanes, list_bands
from bunri.predict.settings import Combine


def combine_planes(
    planes: Sequence[ClassPlanes], weights: Sequence[float], combine: Combine, votes: Decider
) -> ClassPlanes:
    """Return the combined probabilities of several models for one photo.

    Args:
        planes: One for each model; at least one.
        weights: One for each model, sum above 0.
        combine: ``soft``: mean of probabilities; ``hard``: votes; ``minmax``: mean of logits, each
            model's stretched to 0..1.
        votes: Decider of each model's own mask, for ``hard``.
    """
    if combine == "hard":
        return VotePlanes([votes.choose(one) for one in planes], weights, len(planes[0]))
    return (MeanPlanes if combine == "soft" else MinMaxPlanes)(planes, weights)


class _MemberPlanes(ClassPlanes):
    """Planes computed from those of several models.

    Args:
        members: Planes of each model; at least one.
        weights: One for each member, sum above 0.
    """

    def __init__(self, members: Sequence[ClassPlanes], weights: Sequence[float]) -> None:
        self._members = members
        self._weights = (np.asarray(weights, np.float64) / sum(weights)).tolist()

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._members[0].size_hw

    def __len__(self) -> int:
        return len(self._members[0])

    def _sum_weighted(self, planes: Sequence[FloatArray]) -> FloatArray:
        result = np.zeros(planes[0].shape, np.float32)
        for plane, weight in zip(planes, self._weights, strict=True):
            result += np.float32(weight) * plane
        return result


class MeanPlanes(_MemberPlanes):
    """Weighted mean of the members' probabilities."""

    def __iter__(self) -> Iterator[FloatArray]:
        return map(self._sum_weighted, zip(*self._members, strict=True))

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Yield bands of rows, those of the members."""
        for bands in zip(*(member.split() for member in self._members), strict=True):
            yield bands[0][0], MeanPlanes([band for _, band in bands], self._weights)


class MinMaxPlanes(_MemberPlanes):
    """Weighted mean of logits, each member's stretched to 0..1 over the photo, as shares.

    Logarithms of probabilities are logits but for a constant at each pixel; probabilities below
    ``FLOOR`` count as ``FLOOR``.
    """

    FLOOR = 1e-4

    def __init__(self, members: Sequence[ClassPlanes], weights: Sequence[float]) -> None:
        super().__init__(members, weights)
        self._ranges = [self._measure_range(planes) for planes in members]
        self._total = np.maximum(sum(self._stretch_and_average()), 1e-6)

    def _measure_range(self, planes: ClassPlanes) -> tuple[float, float]:
        ends = [(float(plane.min()), float(plane.max())) for plane in planes]
        low = max(self.FLOOR, min(low for low, _ in ends))
        return float(np.log(low)), float(np.log(max(low, *(high for _, high in ends))))

    def _stretch_and_average(self) -> Iterator[FloatArray]:
        for planes in zip(*self._members, strict=True):
            stretched = [
                (np.log(np.maximum(plane, self.FLOOR)) - low) / max(high - low, 1e-6)
                for plane, (low, high) in zip(planes, self._ranges, strict=True)
            ]
            yield self._sum_weighted(stretched)

    def __iter__(self) -> Iterator[FloatArray]:
        return (np.asarray(p / self._total, np.float32) for p in self._stretch_and_average())


class VotePlanes(ClassPlanes):
    """Share of votes for each class.

    Args:
        masks: One uint8 (H, W) for each model.
        weights: One for each model, sum above 0.
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
        return self._num_classes

    def __iter__(self) -> Iterator[FloatArray]:
        total = sum(self._weights)
        for index in range(self._num_classes):
            votes = np.zeros(self._masks[0].shape, np.float64)  # float64, so that ties are ties
            for mask, weight in zip(self._masks, self._weights, strict=True):
                votes[mask == index] += weight
            yield (votes / total).astype(np.float32)

    def split(self) -> Iterator[tuple[slice, ClassPlanes]]:
        """Yield bands of rows."""
        for rows in list_bands(self.size_hw):
            masks = [mask[rows] for mask in self._masks]
            yield rows, VotePlanes(masks, self._weights, self._num_classes)
