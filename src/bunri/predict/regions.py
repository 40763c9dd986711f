"""The connected regions of a mask, with box, area and outline."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, MaskArray
from bunri.labels.components import LabelledRuns
from bunri.labels.outlines import trace_keyholes


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A connected region of one class in a mask.

    Attributes:
        class_index: Mask value of the class.
        name: English name of the class.
        name_ko: Korean name of the class.
        box_xywh_px: Left, top, width and height in pixels.
        area_px: Number of pixels.
        share: Fraction of the photo's area, 0..1.
        outline: Closed polygon along the pixels' edges, ``float64 (N, 2)`` of x, y in pixels from
            the photo's top left corner. Cuts of no width lead to holes, so that filling it
            gives the region's pixels.
    """

    class_index: int
    name: str
    name_ko: str
    box_xywh_px: tuple[int, int, int, int]
    area_px: int
    share: float
    outline: npt.NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Return the region as plain values."""
        return {
            "index": self.class_index,
            "name": self.name,
            "name_ko": self.name_ko,
            "box_xywh_px": list(self.box_xywh_px),
            "pixels": self.area_px,
            "share": round(self.share, 6),
            "outline_xy_px": self.outline.tolist(),
        }


def find_regions(mask: MaskArray, table: ClassTable, min_share: float = 0.0) -> list[Region]:
    """Return the 4-connected regions of every class but the background, largest first.

    Args:
        mask: Class indices, uint8 (H, W); other values than those of ``table`` are skipped.
        table: The classes.
        min_share: Smallest region to return, as a fraction of the photo's area, 0..1.
    """
    found = [
        region
        for index in np.unique(mask).tolist()
        if index != BACKGROUND_INDEX and index < len(table)
        for region in _find_class_regions(mask, index, table, min_share)
    ]
    return sorted(found, key=lambda region: -region.area_px)


def _find_class_regions(
    mask: MaskArray, index: int, table: ClassTable, min_share: float
) -> Iterator[Region]:
    runs = LabelledRuns.from_region(mask == index, neighbours=4)
    areas_px = np.bincount(runs.label, weights=runs.stop - runs.start).astype(np.int64)
    by_label = np.split(
        np.argsort(runs.label, kind="stable"), np.cumsum(np.bincount(runs.label))[:-1]
    )
    info = table.classes[index]
    for label in np.flatnonzero(areas_px >= min_share * mask.size).tolist():
        mine = by_label[label]
        rows, starts, stops = runs.row[mine], runs.start[mine], runs.stop[mine]
        left, top = int(starts.min()), int(rows.min())
        width, height = int(stops.max()) - left, int(rows.max()) + 1 - top
        piece = np.zeros((height, width), np.bool_)
        for row, start, stop in zip(rows - top, starts - left, stops - left, strict=True):
            piece[row, start:stop] = True
        outline = trace_keyholes(piece, left_top_px=(left, top))[0].reshape(-1, 2)
        area_px = int(areas_px[label])
        yield Region(
            index, info.name, info.name_ko, (left, top, width, height),
            area_px, area_px / mask.size, outline,
        )  # fmt: skip
