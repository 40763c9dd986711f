"""Objects cut out of the training photos, to be pasted into others.

A bank is cut from the training photos of the run itself and from no others: objects of validation
photos would be learned from. It does not change once it is cut, so loader processes share it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

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
    """An object cut out of a photo, at the scale of the network frame; arrays are read-only.

    ``pixels``: the rectangle around it, uint8 (h, w, 3) RGB; ``inside``: uint8 (h, w), 1 on it.
    """

    class_index: int
    pixels: ImageArray
    inside: npt.NDArray[np.uint8]


def cut_objects(
    store: LabelledPhotos,
    class_indices: Collection[int],
    frame_px: int,
    max_bytes: int = MAX_BANK_BYTES,
) -> dict[int, list[CutObject]]:
    """Cut objects of some classes out of photos, the same objects each time.

    Photos with pseudo-labels are skipped: their objects would count as true in other photos. Photos
    are scaled to the network frame first, so that pasted objects are as large as at prediction, and
    processed in a fixed, shuffled order, so that photos at the end of a file are not left out.

    Returns:
        Objects by class index, some ``max_bytes`` in all; classes without objects are absent.
    """
    share = max_bytes // max(1, len(class_indices))
    found: dict[int, list[CutObject]] = {index: [] for index in sorted(class_indices)}
    num_bytes = dict.fromkeys(found, 0)
    classes = store.list_classes()
    for number in np.random.default_rng(0).permutation(len(store)).tolist():
        wanted = {i for i in classes[number] if i in found and num_bytes[i] < share}
        if store.is_pseudo(number) or not wanted:
            continue
        for item in _cut_photo(*store.load(number), wanted, frame_px):
            if num_bytes[item.class_index] < share:
                found[item.class_index].append(item)
                num_bytes[item.class_index] += item.pixels.nbytes + item.inside.nbytes
    return {index: items for index, items in found.items() if items}


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
