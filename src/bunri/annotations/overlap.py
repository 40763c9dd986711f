"""Many objects to one mask: who owns a pixel that several objects claim.

Owns the three rules that the competition's code bases used, by name. Knows no file format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bunri.annotations.rasterize import draw_region
from bunri.annotations.records import Annotation, LabelledSet, Photo, Polygons
from bunri.config import OverlapRule
from bunri.contracts import BACKGROUND_INDEX, AnnotationError, MaskArray


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """One object ready to be painted."""

    pixels: npt.NDArray[np.bool_]  # (H, W)
    class_index: int
    num_coordinates: int  # of its first polygon part; 0 for run lengths


# Objects are painted in ascending order of the key, so the highest ends on top. Sorting is
# stable: between equals the later annotation is on top, as in the notebooks' loops.
_PAINT_ORDER: dict[OverlapRule, Callable[[_Region], int]] = {
    "largest-first": lambda region: -int(np.count_nonzero(region.pixels)),
    "highest-class": lambda region: region.class_index,
    "longest-polygon-first": lambda region: region.num_coordinates,
}


def draw_mask(dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> MaskArray:
    """Return the mask of one photo.

    Rules:
        ``largest-first``: objects are painted from the largest area (in drawn pixels) to the
        smallest, so small ones stay visible; the later cohorts' rule, and the default.
        ``highest-class``: the highest class index wins; the 2021 notebook's ``np.maximum``.
        ``longest-polygon-first``: the object whose first polygon part has the most
        coordinates wins; the rule of an intermediate version. Run lengths have none and lose.

    Args:
        dataset: Where ``photo`` comes from.
        photo: One of ``dataset.photos``.
        rule: One of ``config.OVERLAP_RULES``.

    Returns:
        uint8 (H, W), index into ``dataset.table``; 0 where there is no object.

    Raises:
        AnnotationError: An annotation that cannot be drawn; its id is named.
    """
    annotations = dataset.annotations.get(photo.id, ())
    regions = [_draw(dataset, photo, annotation) for annotation in annotations]
    mask = np.full(photo.size_hw, BACKGROUND_INDEX, np.uint8)
    for region in sorted(regions, key=_PAINT_ORDER[rule]):
        mask[region.pixels] = region.class_index
    return mask


def _draw(dataset: LabelledSet, photo: Photo, annotation: Annotation) -> _Region:
    shape = annotation.segmentation
    try:
        pixels = draw_region(shape, photo.size_hw)
    except AnnotationError as error:
        raise AnnotationError(f"annotation {annotation.id}: {error.message}") from error
    parts: Sequence[npt.NDArray[np.float64]] = shape.parts if isinstance(shape, Polygons) else ()
    return _Region(
        pixels=pixels,
        class_index=dataset.index_of_category[annotation.category_id],
        num_coordinates=len(parts[0]) if parts else 0,
    )
