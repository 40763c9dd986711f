"""Statistics of data sets: photos, classes, objects, sizes, places and colours."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, MaskArray
from bunri.core.errors import ImageError
from bunri.core.progress import Advance, Progress, show_nothing
from bunri.labels.coco import require_nonempty, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.rasterize import draw_region
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.labels.sources import pair_roots, read_together
from bunri.stats.tallies import GRID, Counts, count_values, measure_occupancy, measure_spread

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
Distribution = tuple[tuple[int, int], ...]
"""(value, how often it occurs), by value."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorStatistics:
    """Colours of all pixels of all photos; channels are red, green, blue, values 0..1.

    Attributes:
        mean_rgb: Mean over all pixels of all photos.
        std_rgb: Population standard deviation over the same pixels; pixels normalised with it
            and ``mean_rgb`` have mean 0 and standard deviation 1.
        mean_photo_std_rgb: Standard deviation within each photo, averaged over photos. It ignores
            differences between photos, so it is smaller; often stated in place of ``std_rgb``.
        histogram: Number of pixels with each value, int64 (3, 256).
    """

    num_pixels: int
    mean_rgb: tuple[float, ...]
    std_rgb: tuple[float, ...]
    mean_photo_std_rgb: tuple[float, ...]
    histogram: Counts


@dataclass(frozen=True, slots=True, eq=False)
class AreaStatistics:
    """Areas of objects that draw a pixel, before other objects cover them.

    Attributes:
        quantiles_px: Area at each of :data:`QUANTILES`, linearly interpolated.
        doublings: Number of objects of 2**k to 2**(k + 1) - 1 pixels, for k = 0, 1, ...
    """

    num_objects: int
    mean_px: float
    quantiles_px: tuple[float, ...]
    doublings: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """One class in one set.

    Attributes:
        photos: Number of photos with at least one pixel of the class in their mask.
        objects: Number of annotations.
        empty_objects: Number of annotations that draw no pixel.
        pixels: Number of pixels in all masks, after the overlap rule.
        pixel_share: Share of all pixels of all masks; the shares of all classes sum to 1.
        area: Areas of the objects; None if none draws a pixel.
        occupancy: Share of each grid cell that the class fills, mean over its photos,
            float64 (GRID, GRID); None if it is in no photo.
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
    """Statistics of the labels of a set.

    Attributes:
        classes: Statistics of each class, in the order of the class table.
        all_areas: Areas of the objects of all classes; None if none draws a pixel.
        together: Number of photos with pixels of both classes, int64 (C, C); symmetric.
        classes_per_photo: Pairs (number of classes without background, photos).
        objects_per_photo: Pairs (number of annotations, photos).
        contents: Class index -> pixels, for each photo in the order of the set.
    """

    classes: tuple[ClassStatistics, ...]
    all_areas: AreaStatistics | None
    together: Counts
    classes_per_photo: Distribution
    objects_per_photo: Distribution
    contents: tuple[Mapping[int, int], ...]

    @property
    def num_objects(self) -> int:
        """Number of annotations of all classes."""
        return sum(figures.objects for figures in self.classes)

    @property
    def object_share(self) -> float:
        """Share of pixels that are not background."""
        return 1.0 - self.classes[BACKGROUND_INDEX].pixel_share

    @property
    def num_photos_without_objects(self) -> int:
        """Number of photos without an annotation."""
        return dict(self.objects_per_photo).get(0, 0)

    @property
    def mean_objects(self) -> float:
        """Mean number of annotations per photo."""
        return _average(self.objects_per_photo)

    @property
    def mean_classes(self) -> float:
        """Mean number of classes per photo, without the background."""
        return _average(self.classes_per_photo)


def _average(distribution: Distribution) -> float:
    photos = sum(photos for _, photos in distribution)
    return sum(value * photos for value, photos in distribution) / photos


@dataclass(frozen=True, slots=True, eq=False)
class SetStatistics:
    """Statistics of one annotation file and its photos.

    Attributes:
        name: Name of the set; unique among sets that are shown together.
        sizes: Pairs ((width, height) in pixels, photos), the most frequent size first.
        labels: Statistics of the labels; None for a file without labels.
        color: Statistics of the colours; None if the photos were not opened.
    """

    name: str
    dataset: LabelledSet
    sizes: tuple[tuple[tuple[int, int], int], ...]
    labels: LabelStatistics | None
    color: ColorStatistics | None

    @property
    def num_photos(self) -> int:
        """Number of photos in the file."""
        return len(self.dataset.photos)

    @property
    def table(self) -> ClassTable:
        """Class table of ``labels.classes``."""
        return self.dataset.table


def measure_datasets(
    data: Sequence[Path],
    images: Sequence[Path] = (),
    *,
    rule: OverlapRule = "largest-first",
    opens_photos: bool = True,
    progress: Progress = show_nothing,
) -> list[SetStatistics]:
    """Return the statistics of COCO files that share a class table.

    Each photo and mask is read once; one is in memory at a time.

    Raises:
        InputError: A file, a folder or photos cannot be used; all faults are listed.
    """
    sets = read_together(pair_roots(data, images, "--images"))
    for dataset in sets:
        (require_photos if opens_photos else require_nonempty)(dataset)
    with progress("Counting photos", sum(len(dataset.photos) for dataset in sets)) as advance:
        return [
            collect_statistics(dataset, name, rule, opens_photos=opens_photos, advance=advance)
            for dataset, name in zip(sets, name_sets(sets), strict=True)
        ]


def collect_statistics(
    dataset: LabelledSet, name: str, rule: OverlapRule, *, opens_photos: bool, advance: Advance
) -> SetStatistics:
    """Return the statistics of one set of at least one photo; see :func:`measure_datasets`."""
    histograms, problems = [], []
    labels = LabelTally(len(dataset.table))
    for photo in dataset.photos:
        if opens_photos:
            try:
                image = read_photo_as_labelled(dataset, photo)
                histograms.append(count_values(image).reshape(3, 256))
            except ImageError as error:
                problems.append(error.message)
        if dataset.is_labelled and not problems:
            labels.add(draw_mask(dataset, photo, rule), _measure_objects(dataset, photo))
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
        labels=labels.conclude() if dataset.is_labelled else None,
        color=summarize_colors(histograms) if opens_photos else None,
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


def summarize_colors(histograms: Sequence[Counts]) -> ColorStatistics:
    """Return the colours of photos from the histogram of each, int64 (3, 256)."""
    whole = np.sum(histograms, axis=0)
    means, stds = measure_spread(whole)
    photo_stds = zip(*(measure_spread(counts)[1] for counts in histograms), strict=True)
    return ColorStatistics(
        num_pixels=int(whole[0].sum()),
        mean_rgb=tuple(means),
        std_rgb=tuple(stds),
        mean_photo_std_rgb=tuple(sum(values) / len(histograms) for values in photo_stds),
        histogram=whole,
    )


class LabelTally:
    """Pixels and objects by class, photo by photo; of each photo only counts are kept."""

    def __init__(self, num_classes: int) -> None:
        self._pixels: list[Counts] = []
        self._objects: list[list[tuple[int, int]]] = []
        self._occupancy = np.zeros((num_classes, GRID, GRID))  # sum over photos

    def add(self, mask: MaskArray, objects: list[tuple[int, int]]) -> None:
        """Count a mask, uint8 (H, W), and the (class index, drawn pixels) of its objects."""
        pixels = count_values(mask)[: len(self._occupancy)]
        for index in np.flatnonzero(pixels):
            self._occupancy[index] += measure_occupancy(mask == index)
        self._pixels.append(pixels)
        self._objects.append(objects)

    def conclude(self) -> LabelStatistics:
        """Return the statistics of all photos that were added, at least one."""
        pixels = np.stack(self._pixels)  # (photos, C)
        shows = (pixels > 0).astype(np.int64)
        areas: list[list[int]] = [[] for _ in self._occupancy]
        for index, area_px in chain.from_iterable(self._objects):
            areas[index].append(area_px)
        areas_px = [np.array(listed, np.int64) for listed in areas]
        photos, totals = shows.sum(axis=0).tolist(), pixels.sum(axis=0).tolist()
        classes = tuple(
            ClassStatistics(
                photos=photos[index],
                objects=len(listed),
                empty_objects=int((listed == 0).sum()),
                pixels=totals[index],
                pixel_share=totals[index] / sum(totals),
                area=_summarize_areas(listed),
                occupancy=self._occupancy[index] / photos[index] if photos[index] else None,
            )
            for index, listed in enumerate(areas_px)
        )
        return LabelStatistics(
            classes=classes,
            all_areas=_summarize_areas(np.concatenate(areas_px)),
            together=shows.T @ shows,
            classes_per_photo=_count(shows[:, BACKGROUND_INDEX + 1 :].sum(axis=1).tolist()),
            objects_per_photo=_count(map(len, self._objects)),
            contents=tuple({i: n for i, n in enumerate(row) if n} for row in pixels.tolist()),
        )


def _count(values: Iterable[int]) -> Distribution:
    return tuple(sorted(Counter(values).items()))


def _summarize_areas(areas_px: Counts) -> AreaStatistics | None:
    areas_px = areas_px[areas_px > 0]
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
    """Return a unique short name for each set: its file's, with a number if that is taken."""
    names: list[str] = []
    for dataset in sets:
        stem = dataset.source.stem
        numbered = (f"{stem} ({number})" for number in count(2))
        names.append(next(name for name in chain([stem], numbered) if name not in names))
    return names
