"""What is in a data set: photos, classes, objects, sizes, places and colours.

Owns what each figure means and how it is called. Knows nothing of pages and plots.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import ImageError
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.rasterize import draw_region
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.stats.tallies import ColorTally, Counts, LabelTally, measure_spread

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
Distribution = tuple[tuple[int, int], ...]
"""(value, how often it occurs), by value."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorStatistics:
    """Colours of all pixels of all photos; channels are red, green, blue, values 0..1.

    Attributes:
        num_pixels: Pixels that were counted.
        mean_rgb: Over all pixels of all photos.
        std_rgb: The same pixels' standard deviation, divided by their number (not one less).
            With ``mean_rgb`` it gives normalised pixels mean 0 and spread 1.
        mean_photo_std_rgb: Standard deviation inside each photo, averaged over photos. It leaves
            out how photos differ from one another, so it is smaller; often stated in its place.
        histogram: int64 (3, 256), how often each value occurs.
    """

    num_pixels: int
    mean_rgb: tuple[float, ...]
    std_rgb: tuple[float, ...]
    mean_photo_std_rgb: tuple[float, ...]
    histogram: Counts


@dataclass(frozen=True, slots=True, eq=False)
class AreaStatistics:
    """Sizes of objects in drawn pixels, before others cover them; objects without any left out.

    Attributes:
        num_objects: Objects that draw a pixel.
        mean_px: Mean area.
        quantiles_px: At :data:`QUANTILES`, linearly interpolated.
        doublings: Entry k is how many objects have 2**k to 2**(k + 1) - 1 pixels.
    """

    num_objects: int
    mean_px: float
    quantiles_px: tuple[float, ...]
    doublings: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """One class in one set.

    Attributes:
        photos: Photos with at least one pixel of it in their mask.
        objects: Annotations of it.
        empty_objects: Those of them that draw no pixel.
        pixels: Pixels of it in all masks, after the overlap rule.
        pixel_share: Of all pixels of all masks; shares of all classes sum to 1.
        area: Sizes of its objects; None if none draws a pixel.
        occupancy: float64 (GRID, GRID), mean over its photos of the share of each grid cell that
            it fills; None if it is in no photo.
    """

    photos: int
    objects: int
    empty_objects: int
    pixels: int
    pixel_share: float
    area: AreaStatistics | None
    occupancy: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, eq=False)
class LabelStatistics:
    """What a labelled set's annotations say.

    Attributes:
        classes: In the order of the class table.
        all_areas: Sizes of the objects of all classes; None if none draws a pixel.
        together: int64 (C, C), photos with pixels of both classes; symmetric.
        classes_per_photo: Number of classes besides the background -> photos.
        objects_per_photo: Number of annotations -> photos.
        contents: Of each photo, in the order of the set: class index -> pixels.
    """

    classes: tuple[ClassStatistics, ...]
    all_areas: AreaStatistics | None
    together: Counts
    classes_per_photo: Distribution
    objects_per_photo: Distribution
    contents: tuple[Mapping[int, int], ...]

    @property
    def num_objects(self) -> int:
        """Annotations of all classes."""
        return sum(figures.objects for figures in self.classes)

    @property
    def object_share(self) -> float:
        """Share of pixels that are not background."""
        return 1.0 - self.classes[BACKGROUND_INDEX].pixel_share

    @property
    def num_photos_without_objects(self) -> int:
        """Photos without a single annotation."""
        return dict(self.objects_per_photo).get(0, 0)

    @property
    def mean_objects(self) -> float:
        """Annotations per photo."""
        return _average(self.objects_per_photo)

    @property
    def mean_classes(self) -> float:
        """Classes per photo, besides the background."""
        return _average(self.classes_per_photo)


def _average(distribution: Distribution) -> float:
    photos = sum(photos for _, photos in distribution)
    return sum(value * photos for value, photos in distribution) / photos


@dataclass(frozen=True, slots=True, eq=False)
class SetStatistics:
    """One annotation file and its photos.

    Attributes:
        name: How the set is called; unique among sets that are shown together.
        dataset: Where the figures are from.
        sizes: ((width, height) in pixels, photos), the most frequent first.
        labels: None for a file without labels.
        color: None if the photos were not opened.
    """

    name: str
    dataset: LabelledSet
    sizes: tuple[tuple[tuple[int, int], int], ...]
    labels: LabelStatistics | None
    color: ColorStatistics | None

    @property
    def num_photos(self) -> int:
        """Photos that the file lists."""
        return len(self.dataset.photos)

    @property
    def table(self) -> ClassTable:
        """What the positions in ``labels.classes`` mean."""
        return self.dataset.table


def collect_statistics(
    dataset: LabelledSet,
    name: str,
    rule: OverlapRule,
    *,
    opens_photos: bool,
    advance: Callable[[], None],
) -> SetStatistics:
    """Count everything in one pass; one photo and its mask are in memory at a time.

    Args:
        dataset: At least one photo; without labels only photos are counted.
        name: How the set is called.
        rule: How masks are drawn from labels.
        opens_photos: False leaves the photos alone; then there are no colours.
        advance: Called after each photo.

    Raises:
        ImageError: Photos that cannot be read or are not of the size that the file states; all
            of them are listed.
    """
    color = ColorTally()
    labels = LabelTally(len(dataset.table))
    problems: list[str] = []
    for photo in dataset.photos:
        if opens_photos:
            try:
                color.add(read_photo_as_labelled(dataset, photo))
            except ImageError as error:
                problems.append(error.message)
        if dataset.is_labelled and not problems:
            labels.add_mask(draw_mask(dataset, photo, rule))
            labels.add_objects(_measure_objects(dataset, photo))
        advance()
    if problems:
        raise ImageError(
            f"{len(problems)} photo(s) of {dataset.source} cannot be used:",
            problems=problems,
            hint="With --no-photos the labels are counted and no photo is opened.",
        )
    sizes = Counter((photo.width_px, photo.height_px) for photo in dataset.photos)
    return SetStatistics(
        name=name,
        dataset=dataset,
        sizes=tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        labels=_conclude_labels(labels) if dataset.is_labelled else None,
        color=_conclude_color(color) if opens_photos else None,
    )


def _measure_objects(dataset: LabelledSet, photo: Photo) -> list[tuple[int, int]]:
    """Return (class index, drawn pixels) of each object of a photo."""
    return [
        (
            dataset.index_of_category[annotation.category_id],
            int(np.count_nonzero(draw_region(annotation.segmentation, photo.size_hw))),
        )
        for annotation in dataset.annotations.get(photo.id, ())
    ]


def _conclude_color(tally: ColorTally) -> ColorStatistics:
    means, stds = measure_spread(tally.histogram)
    return ColorStatistics(
        num_pixels=int(tally.histogram[0].sum()),
        mean_rgb=tuple(means),
        std_rgb=tuple(stds),
        mean_photo_std_rgb=tuple(tally.mean_photo_std),
        histogram=tally.histogram,
    )


def _conclude_labels(tally: LabelTally) -> LabelStatistics:
    areas_px = [np.array(areas, np.int64) for areas in tally.areas_px]
    return LabelStatistics(
        classes=tuple(_conclude_class(tally, i, areas) for i, areas in enumerate(areas_px)),
        all_areas=_summarize_areas(np.concatenate(areas_px)),
        together=tally.together,
        classes_per_photo=tuple(sorted(tally.classes_per_photo.items())),
        objects_per_photo=tuple(sorted(tally.objects_per_photo.items())),
        contents=tuple(tally.contents),
    )


def _conclude_class(tally: LabelTally, index: int, areas_px: Counts) -> ClassStatistics:
    photos = int(tally.photos[index])
    return ClassStatistics(
        photos=photos,
        objects=int(tally.objects[index]),
        empty_objects=int(tally.empty_objects[index]),
        pixels=int(tally.pixels[index]),
        pixel_share=int(tally.pixels[index]) / int(tally.pixels.sum()),
        area=_summarize_areas(areas_px),
        occupancy=tally.occupancy[index] / photos if photos else None,
    )


def _summarize_areas(areas_px: Counts) -> AreaStatistics | None:
    if not areas_px.size:
        return None
    doublings = np.bincount([area_px.bit_length() - 1 for area_px in areas_px.tolist()])
    return AreaStatistics(
        num_objects=areas_px.size,
        mean_px=float(areas_px.mean()),
        quantiles_px=tuple(np.quantile(areas_px, QUANTILES).tolist()),
        doublings=tuple(doublings.tolist()),
    )


def name_sets(sets: Sequence[LabelledSet]) -> list[str]:
    """Return a short name for each set, from its file's; a number is added to tell equals apart."""
    names: list[str] = []
    for dataset in sets:
        stem = dataset.source.stem
        numbered = (f"{stem} ({number})" for number in count(2))
        names.append(next(name for name in chain([stem], numbered) if name not in names))
    return names
