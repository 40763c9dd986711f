"""Objects cut out of the training photos, to be pasted into others.

Owns what is cut, how much of it is kept, and the refusal of objects from elsewhere: a bank cut
from all labelled photos would show a network the validation photos it is scored on. A bank is
never changed once cut, so processes share it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import ImageArray, MaskArray
from bunri.core.errors import InputError
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.labels.components import LabelledRuns

MIN_OBJECT_PX = 64
"""Smaller pieces are crumbs of an outline more often than objects."""
MAX_BANK_BYTES = 64 * 2**20
"""Each class has an equal share."""


class LabelledPhotos(Protocol):
    """What a bank is cut from; ``data.PhotoStore`` is one."""

    def __len__(self) -> int:
        """Return how many photos there are."""

    def list_classes(self) -> list[set[int]]:
        """Return the class indices that are annotated in each photo."""

    def load(self, index: int) -> tuple[ImageArray, MaskArray]:
        """Return a photo, uint8 (H, W, 3) RGB, and its mask, uint8 (H, W)."""

    def path_of(self, index: int) -> Path:
        """Return where a photo lies."""

    def is_pseudo(self, index: int) -> bool:
        """Return whether a photo's labels are a model's."""


@dataclass(frozen=True, slots=True, eq=False)
class CutObject:
    """One object: what its photo shows in a rectangle around it, and which of this it is.

    Both arrays are read-only.
    """

    class_index: int
    pixels: ImageArray
    """uint8 (h, w, 3) RGB, at the scale of the network frame."""
    inside: npt.NDArray[np.uint8]
    """uint8 (h, w), 1 on the object."""
    photo: Path

    @property
    def num_bytes(self) -> int:
        """Memory that the arrays take."""
        return self.pixels.nbytes + self.inside.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBank:
    """Objects by class index; a class without any is absent."""

    objects: Mapping[int, tuple[CutObject, ...]]

    @classmethod
    def cut(
        cls,
        store: LabelledPhotos,
        class_indices: Collection[int],
        frame_px: int,
        max_bytes: int = MAX_BANK_BYTES,
    ) -> Self:
        """Cut objects of some classes out of photos; the same ones each time.

        Not out of photos with pseudo-labels: pasted into others they would count as true.

        Args:
            store: Training photos.
            class_indices: Which classes.
            frame_px: Longer side of the network frame, to which photos are scaled first: pasted,
                objects are as large as at prediction, and a large photo takes no more memory.
            max_bytes: About how much memory to fill. Photos are gone through in an order that
                is fixed but mixed, so that what is left out is not the end of a file.
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
            for item in _cut_photo(*store.load(number), wanted, frame_px, store.path_of(number)):
                if num_bytes[item.class_index] < share:
                    found[item.class_index].append(item)
                    num_bytes[item.class_index] += item.num_bytes
        return cls({index: tuple(items) for index, items in found.items() if items})

    def refuse_foreign(self, store: LabelledPhotos) -> None:
        """Refuse to be used for the training on other photos than these objects are from.

        Args:
            store: The photos that are trained on.

        Raises:
            InputError: Objects are from photos that are not among them; all are listed.
        """
        own = {store.path_of(number) for number in range(len(store))}
        used = {item.photo for items in self.objects.values() for item in items}
        foreign = sorted(used - own)
        if foreign:
            raise InputError(
                f"Objects to paste are from {len(foreign)} photo(s) outside of training:",
                problems=[str(path) for path in foreign],
                hint="Cut them from the training photos alone; else a score would be one on "
                "photos that were learned from.",
            )


def _cut_photo(
    image: ImageArray, mask: MaskArray, wanted: set[int], frame_px: int, photo: Path
) -> Iterator[CutObject]:
    """Yield the objects of some classes in a photo, those that are large enough."""
    size_hw = fit_size_hw((image.shape[0], image.shape[1]), frame_px)
    image, mask = resize_image(image, size_hw), resize_mask(mask, size_hw)
    for index in sorted(wanted):
        for rows, columns, inside in _split_region(mask == index):
            pixels = image[rows, columns].copy()
            for array in (pixels, inside):
                array.flags.writeable = False
            yield CutObject(index, pixels, inside, photo)


def _split_region(
    region: npt.NDArray[np.bool_],
) -> Iterator[tuple[slice, slice, npt.NDArray[np.uint8]]]:
    """Yield rows, columns and shape, uint8 (h, w) of 0 and 1, of each piece that hangs together."""
    runs = LabelledRuns.from_region(region, 8)
    sizes = np.bincount(runs.label, runs.stop - runs.start)
    for label in np.flatnonzero(sizes >= MIN_OBJECT_PX):
        chosen = runs.label == label
        pieces = list(zip(*(a[chosen].tolist() for a in (runs.row, runs.start, runs.stop)),
                          strict=True))  # fmt: skip
        yield _draw_piece(pieces)


def _draw_piece(
    pieces: Sequence[tuple[int, int, int]],
) -> tuple[slice, slice, npt.NDArray[np.uint8]]:
    """Return where runs of (row, start, stop) lie, and their shape there."""
    top, bottom = pieces[0][0], pieces[-1][0] + 1
    left, right = min(start for _, start, _ in pieces), max(stop for _, _, stop in pieces)
    inside = np.zeros((bottom - top, right - left), np.uint8)
    for row, start, stop in pieces:
        inside[row - top, start - left : stop - left] = 1
    return slice(top, bottom), slice(left, right), inside
