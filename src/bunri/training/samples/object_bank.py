"""Objects cut out of the training photos, to be pasted into others.

A bank is cut from the training photos of the run itself and from no others: objects of validation
photos would be learned from. It does not change once it is cut, so loader processes share it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import ImageArray, MaskArray
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.labels.components import LabelledRuns

MIN_OBJECT_PX = 64
"""Smallest object in px; smaller pieces are mostly crumbs of an outline."""
MAX_BANK_BYTES = 64 * 2**20
"""Memory of a bank, shared equally by its classes."""


class LabelledPhotos(Protocol):
    """The part of :class:`~bunri.training.samples.data.PhotoStore` that a bank reads."""

    def __len__(self) -> int: ...
    def list_classes(self) -> list[set[int]]: ...  # noqa: D102
    def load(self, index: int) -> tuple[ImageArray, MaskArray]: ...  # noqa: D102
    def is_pseudo(self, index: int) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class CutObject:
    """An object cut out of a photo.

    Attributes:
        class_index: Class of the object.
        pixels: Rectangle around the object at the scale of the network frame, uint8 (h, w, 3) RGB,
            read-only.
        inside: uint8 (h, w), 1 on the object, read-only.
    """

    class_index: int
    pixels: ImageArray
    inside: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBank:
    """Objects by class index; classes without objects are absent."""

    objects: Mapping[int, tuple[CutObject, ...]]

    @classmethod
    def cut(
        cls,
        store: LabelledPhotos,
        class_indices: Collection[int],
        frame_px: int,
        max_bytes: int = MAX_BANK_BYTES,
    ) -> Self:
        """Cut objects of some classes out of photos; the same objects each time.

        Photos with pseudo-labels are skipped: their objects would count as true in other photos.

        Args:
            store: Training photos.
            class_indices: Classes of the objects.
            frame_px: Longer side of the network frame, to which photos are scaled first, so that
                pasted objects are as large as at prediction.
            max_bytes: Approximate memory to fill. Photos are processed in a fixed, shuffled order,
                so that photos at the end of a file are not left out.
        """
        share = max_bytes // max(1, len(class_indices))
        found: dict[int, list[CutObject]] = {index: [] for index in sorted(class_indices)}
        num_bytes = dict.fromkeys(found, 0)
        classes = store.list_classes()
        for number in np.random.default_rng(0).permutation(len(store)).tolist():
            if store.is_pseudo(number):
                continue
            wanted = {i for i in classes[number] if i in found and num_bytes[i] < share}
            if not wanted:
                continue
            for item in _cut_photo(*store.load(number), wanted, frame_px):
                if num_bytes[item.class_index] < share:
                    found[item.class_index].append(item)
                    num_bytes[item.class_index] += item.pixels.nbytes + item.inside.nbytes
        return cls({index: tuple(items) for index, items in found.items() if items})


def _cut_photo(
    image: ImageArray, mask: MaskArray, wanted: set[int], frame_px: int
) -> Iterator[CutObject]:
    """Yield the objects of some classes in a photo that are large enough."""
    size_hw = fit_size_hw((image.shape[0], image.shape[1]), frame_px)
    image, mask = resize_image(image, size_hw), resize_mask(mask, size_hw)
    for index in sorted(wanted):
        for rows, columns, inside in _split_region(mask == index):
            pixels = image[rows, columns].copy()
            for array in (pixels, inside):
                array.flags.writeable = False
            yield CutObject(index, pixels, inside)


def _split_region(
    region: npt.NDArray[np.bool_],
) -> Iterator[tuple[slice, slice, npt.NDArray[np.uint8]]]:
    """Yield rows, columns and shape, uint8 (h, w) of 0 and 1, of each connected piece."""
    runs = LabelledRuns.from_region(region, 8)
    sizes = np.bincount(runs.label, runs.stop - runs.start)
    for label in np.flatnonzero(sizes >= MIN_OBJECT_PX):
        chosen = runs.label == label
        rows, starts, stops = (a[chosen] for a in (runs.row, runs.start, runs.stop))
        top, left = int(rows[0]), int(starts.min())
        inside = np.zeros((int(rows[-1]) + 1 - top, int(stops.max()) - left), np.uint8)
        for row, start, stop in zip(rows - top, starts - left, stops - left, strict=True):
            inside[row, start:stop] = 1
        height, width = inside.shape
        yield slice(top, top + height), slice(left, left + width), inside
