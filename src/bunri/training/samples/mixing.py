"""Samples made of several photos: pasted objects, CutMix and ClassMix.

Random numbers come from torch's generator.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bunri.core.classes import ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, ImageArray, MaskArray
from bunri.core.errors import ConfigError, suggest
from bunri.images.frames import resize_image, resize_mask
from bunri.training.config import AugmentConfig, Config
from bunri.training.samples.geometry import draw, happens
from bunri.training.samples.object_bank import MIN_OBJECT_PX, CutObject, LabelledPhotos, cut_objects

MAX_PASTED = 3
"""Largest number of objects pasted into one sample; the smallest is 1."""
PASTE_SCALE = (0.5, 1.5)

Pair = tuple[ImageArray, MaskArray]


class ObjectPaste:
    """Step that pastes one to three objects of a bank into a photo and its mask.

    The class is drawn first, so that all classes are pasted equally often; then one of its objects,
    a scale, a quarter turn, a flip, and a place around a pixel that is not ignored. Ignored pixels
    are left unchanged, so that padding stays padding.
    """

    def __init__(self, bank: Mapping[int, Sequence[CutObject]], chance: float) -> None:
        self._objects = list(bank.values())
        self._chance = chance

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return a photo, uint8 (3, H, W), and its mask, uint8 (H, W), with pasted objects."""
        if not happens(self._chance):
            return image, mask
        pixels = image.permute(1, 2, 0).numpy().copy()
        labels = mask.numpy().copy()
        free = np.flatnonzero(labels != IGNORE_INDEX)
        for _ in range(int(torch.randint(1, MAX_PASTED + 1, ())) if free.size else 0):
            objects = self._objects[int(torch.randint(len(self._objects), ()))]
            item = objects[int(torch.randint(len(objects), ()))]
            place = int(free[int(torch.randint(free.size, ()))])
            _paste(pixels, labels, item, divmod(place, labels.shape[1]))
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(labels)


def build_paste(config: Config, store: LabelledPhotos, table: ClassTable) -> ObjectPaste | None:
    """Return the step that pastes objects of the training photos; None if pasting is off."""
    if not config.augment.paste:
        return None
    names = config.augment.paste_classes
    if names is None:
        indices = find_rare_classes(store.list_classes(), config.data.repeat_rare)
    else:
        indices = find_classes(names, table)
    bank = cut_objects(store, indices, config.input.size_px)
    if not bank:
        reason = f"no class is in fewer than data.repeat_rare = {config.data.repeat_rare:g} of them"
        if indices:
            wanted = ", ".join(table.names[index] for index in indices)
            reason = f"no object of at least {MIN_OBJECT_PX} px is of {wanted}"
        raise ConfigError(
            f"augment.paste is {config.augment.paste:g}, but the training photos hold nothing to "
            f"paste: {reason}.",
            hint="Name other classes in augment.paste_classes, or set augment.paste to 0.",
        )
    return ObjectPaste(bank, config.augment.paste)


def find_rare_classes(classes: Sequence[set[int]], threshold: float) -> list[int]:
    """Return the classes that appear in some photos, but in less than a share of them."""
    present = set[int]().union(*classes) - {BACKGROUND_INDEX}
    limit = threshold * len(classes)
    return sorted(i for i in present if sum(i in photo for photo in classes) < limit)


def find_classes(names: Sequence[str], table: ClassTable) -> list[int]:
    """Return the indices of the object classes of some names; unknown ones are errors."""
    allowed = table.names[BACKGROUND_INDEX + 1 :]
    index_of = {normalize_name(name): i for i, name in enumerate(allowed, BACKGROUND_INDEX + 1)}
    unknown = [name for name in names if normalize_name(name) not in index_of]
    if unknown:
        raise ConfigError(
            "augment.paste_classes names classes that cannot be pasted:",
            problems=[f"{name!r} is no object class.{suggest(name, allowed)}" for name in unknown],
        )
    return sorted({index_of[normalize_name(name)] for name in names})


def mix_pairs(config: AugmentConfig, own: Pair, draw_other: Callable[[], Pair]) -> Pair:
    """Return a sample with parts of another photo of the same size laid over it, at random.

    ``draw_other`` is called at most once, and only if it is needed.
    """
    cuts, lays = happens(config.cutmix), happens(config.classmix)
    if not (cuts or lays):
        return own
    other, labels = draw_other()
    region = np.zeros(labels.shape, np.bool_)
    if cuts:
        rows, columns = draw_rectangle((labels.shape[0], labels.shape[1]))
        region[rows, columns] = True
    if lays:
        region |= np.isin(labels, draw_classes(labels))
    return np.where(region[..., None], other, own[0]), np.where(region, labels, own[1])


def draw_rectangle(size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of CutMix's rectangle (Yun et al. 2019, arXiv:1905.04899).

    Its share of the area is uniform, Beta(1, 1); its centre may be anywhere, and the rectangle is
    clipped to the photo.
    """
    share = math.sqrt(draw(0.0, 1.0))
    sides = []
    for size in size_hw:
        middle, reach = draw(0.0, size), share * size / 2
        sides.append(slice(max(0, round(middle - reach)), min(size, round(middle + reach))))
    return sides[0], sides[1]


def draw_classes(labels: MaskArray) -> npt.NDArray[np.int64]:
    """Return a random half of the classes in a mask, rounded up, for ClassMix.

    Unlike in Olsson et al. 2020 (arXiv:2007.07936) the background is never chosen: it is most of
    nearly every photo and would hide the objects below.
    """
    counts = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)
    counts[[BACKGROUND_INDEX, IGNORE_INDEX]] = 0
    present = np.flatnonzero(counts)
    order = torch.randperm(len(present)).numpy()
    chosen: npt.NDArray[np.int64] = present[order[: -(-len(present) // 2)]]
    return chosen


def _paste(
    pixels: ImageArray, labels: MaskArray, item: CutObject, middle_yx: tuple[int, int]
) -> None:
    """Paste an object into a photo and its mask, in place."""
    scale = draw(*PASTE_SCALE)
    height, width = (max(1, round(side * scale)) for side in item.inside.shape)
    turns, is_flipped = int(torch.randint(4, ())), happens(0.5)
    object_pixels = np.rot90(resize_image(item.pixels, (height, width)), turns)
    inside = np.rot90(resize_mask(item.inside, (height, width)), turns)
    if is_flipped:
        object_pixels, inside = object_pixels[:, ::-1], inside[:, ::-1]
    on_photo, on_object = [], []
    for middle, side, limit in zip(middle_yx, inside.shape, labels.shape, strict=True):
        first = middle - side // 2
        start, stop = max(0, first), min(limit, first + side)
        on_photo.append(slice(start, stop))
        on_object.append(slice(start - first, stop - first))
    ground, cut = tuple(on_photo), tuple(on_object)
    shows = (inside[cut] == 1) & (labels[ground] != IGNORE_INDEX)
    pixels[ground][shows] = object_pixels[cut][shows]
    labels[ground][shows] = item.class_index
