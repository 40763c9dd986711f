"""Removal of small regions ("specks") from a mask.

A region is a 4-connected set of pixels of one class. All small regions are emptied at once and
filled from the outside in: each takes the class that most of its border belongs to, the lower index
between equals. Probabilities are not needed, so votes and tiles are treated alike; the second most
probable class would leave a speck wherever it is not the class of the surroundings.
"""

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import MaskArray
from bunri.labels.components import LabelledRuns

_Labels = npt.NDArray[np.int32]


def remove_specks(mask: MaskArray, min_share: float) -> MaskArray:
    """Return the mask without regions below a share of its area.

    Args:
        mask: uint8 (H, W), class indices.
        min_share: 0 to 1; a mask without any region as large is returned unchanged.
    """
    labels, count = _label_small(mask, min_share * mask.size)
    if not count or labels.all():
        return mask
    classes = _fill_from_outside(mask, labels, count)
    return np.where(labels > 0, classes[labels], mask).astype(np.uint8)


def _label_small(mask: MaskArray, min_px: float) -> tuple[_Labels, int]:
    """Return int32 (H, W), 1 and up in small regions and 0 elsewhere, and their number."""
    labels = np.zeros(mask.shape, np.int32)
    flat = labels.reshape(-1)
    count = 0
    for index in np.unique(mask).tolist():
        runs = LabelledRuns.from_region(mask == index, 4)
        lengths = runs.stop - runs.start
        areas = np.bincount(runs.label, lengths)
        names = np.cumsum(areas < min_px) + count
        names[areas >= min_px] = 0
        chosen = names[runs.label] > 0
        starts = (runs.row * mask.shape[1] + runs.start)[chosen]
        lengths = lengths[chosen]
        ends = np.cumsum(lengths)
        pixels = np.arange(ends[-1] if ends.size else 0)
        pixels += np.repeat(starts - (ends - lengths), lengths)
        flat[pixels] = np.repeat(names[runs.label][chosen], lengths)
        count += int((areas < min_px).sum())
    return labels, count


def _fill_from_outside(mask: MaskArray, labels: _Labels, count: int) -> npt.NDArray[np.uint8]:
    """Return the class of each small region by its label, uint8 (count + 1,)."""
    pairs = [
        _list_borders(labels[:, :-1], labels[:, 1:], mask[:, :-1], mask[:, 1:]),
        _list_borders(labels[:-1], labels[1:], mask[:-1], mask[1:]),
    ]
    region, neighbour, of_class = (np.concatenate(column) for column in zip(*pairs, strict=True))
    classes = np.zeros(count + 1, np.uint8)
    is_settled = np.zeros(count + 1, np.bool_)
    is_settled[0] = True
    while not is_settled.all():
        # Beyond the border lies a kept pixel or a region that was filled in an earlier round.
        is_useful = ~is_settled[region] & is_settled[neighbour]
        beyond = np.where(neighbour == 0, of_class, classes[neighbour])[is_useful]
        codes, votes = np.unique(region[is_useful] * 256 + beyond, return_counts=True)
        order = np.lexsort((-codes, votes))  # the most votes last; between equals the lower class
        regions, winners = codes[order] // 256, codes[order] % 256
        classes[regions] = winners
        is_settled[regions] = True
    return classes


def _list_borders(
    one: _Labels, other: _Labels, one_class: MaskArray, other_class: MaskArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return region, the region beyond (0 if kept) and the class there, for each shared side."""
    differ = one != other
    pairs = ((one[differ], other[differ], other_class[differ]),
             (other[differ], one[differ], one_class[differ]))  # fmt: skip
    region, neighbour, of_class = (
        np.concatenate([pair[i] for pair in pairs]).astype(np.int64) for i in range(3)
    )
    is_small = region > 0
    return region[is_small], neighbour[is_small], of_class[is_small]
