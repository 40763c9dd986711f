"""The statistics page of data sets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from bunri.core.contracts import BACKGROUND_INDEX
from bunri.images.drawing import draw_overlay_layer
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.rules import OverlapRule
from bunri.report.page import embed_layer, embed_picture, read_script, show_share, write_page
from bunri.report.plots.plots import read_plot_scripts
from bunri.report.plots.stats import build_plots, list_labelled
from bunri.report.texts import (
    Text,
    Texts,
    clean_name,
    describe_classes,
    join_texts,
    list_scarce_classes,
    read_texts,
)
from bunri.stats.gallery import Choice
from bunri.stats.statistics import LabelStatistics, SetStatistics
from bunri.stats.tallies import GRID

RARE_PHOTOS = 5
"""A class in fewer photos cannot be in every one of the usual five folds."""
MAX_SIZES_SHOWN = 12
MAX_CLASSES_NAMED = 12
"""Most classes listed in one warning."""
# The more photos, the smaller each: the gallery has about as many pixels, whatever their number.
_GALLERY_PIXELS = 24 * 512**2
_SIDE_PX = (144, 512)


@dataclass(frozen=True, slots=True)
class Sample:
    """A photo of the gallery: data URLs of the photo and of its labels, (class, share) pairs."""

    set_name: Text
    file_name: Text
    size_hw: tuple[int, int]
    photo: Markup
    layer: Markup | None
    classes: tuple[tuple[int, float], ...]


def prepare_samples(
    choices: Sequence[Choice], rule: OverlapRule, advance: Callable[[], None]
) -> list[Sample]:
    """Return photos for the page's gallery, reduced, with their labels as a layer.

    Raises:
        ImageError: A photo cannot be used any more.
    """
    side_px = int((_GALLERY_PIXELS / max(1, len(choices))) ** 0.5)
    side_px = min(max(side_px, _SIDE_PX[0]), _SIDE_PX[1])
    samples = []
    for figures, position in choices:
        samples.append(_prepare_sample(figures, position, rule, side_px))
        advance()
    return samples


def _prepare_sample(
    figures: SetStatistics, position: int, rule: OverlapRule, side_px: int
) -> Sample:
    dataset, photo = figures.dataset, figures.dataset.photos[position]
    size_hw = fit_size_hw(photo.size_hw, min(side_px, max(photo.size_hw)))
    layer, classes = None, []
    if figures.labels is not None:
        mask = draw_mask(dataset, photo, rule)
        layer = embed_layer(draw_overlay_layer(resize_mask(mask, size_hw), figures.table))
        pixels = figures.labels.contents[position]
        classes = [(i, n / mask.size) for i, n in pixels.items() if i != BACKGROUND_INDEX]
    image = resize_image(read_photo_as_labelled(dataset, photo), size_hw)
    return Sample(
        set_name=clean_name(figures.name),
        file_name=clean_name(photo.file_name),
        size_hw=size_hw,
        photo=embed_picture(image, quality=82),
        layer=layer,
        classes=tuple(sorted(classes, key=lambda pair: -pair[1])),
    )


def write_stats_page(
    path: Path,
    sets: Sequence[SetStatistics],
    samples: Sequence[Sample],
    rule: OverlapRule,
    figures_name: str,
) -> None:
    """Write the page of at least one set, all with one class table.

    Raises:
        OutputError: The file cannot be written.
    """
    t = read_texts("common", "stats")
    values = _collect_values(sets, samples, t) | {
        "t": t,
        "rule": rule,
        "grid": GRID,
        "max_sizes": MAX_SIZES_SHOWN,
        "figures_name": clean_name(figures_name),
    }
    scripts = [*read_plot_scripts(), *map(read_script, ("panels.js", "gallery.js"))]
    write_page(path, "stats.html", values, scripts=scripts)


def _collect_values(
    sets: Sequence[SetStatistics], samples: Sequence[Sample], t: Texts
) -> dict[str, Any]:
    """Return the values of the template that come from the data."""
    classes = describe_classes(sets[0].table)
    labelled = list_labelled(sets)
    licenses = dict.fromkeys(name for figures in sets for name in figures.dataset.licenses)
    return {
        "sets": [{"name": clean_name(figures.name), "figures": figures} for figures in sets],
        "labelled": [
            {
                "name": clean_name(figures.name),
                "labels": labels,
                "num_classes_seen": _count_seen_classes([figures]),
            }
            for figures, labels in labelled
        ],
        "set_tabs": [(i, clean_name(figures.name)) for i, figures in enumerate(sets)],
        "labelled_tabs": [(i, clean_name(s.name)) for i, (s, _) in enumerate(labelled)],
        "classes": classes,
        "foreground": classes[BACKGROUND_INDEX + 1 :],
        "files": join_texts([clean_name(figures.dataset.source.name) for figures in sets]),
        "licenses": licenses and join_texts([clean_name(name) for name in licenses]),
        "background": join_texts(
            [
                t(
                    "share_of_set",
                    share=show_share(labels.classes[BACKGROUND_INDEX].pixel_share),
                    set=clean_name(figures.name),
                )
                for figures, labels in labelled
            ]
        ),
        "object_share": _measure_object_share(sets),
        "warnings": list(_list_warnings(sets, t)),
        "num_classes_seen": _count_seen_classes(sets),
        "samples": samples,
        "sample_classes": {index for sample in samples for index, _ in sample.classes},
        "plots": build_plots(sets, t),
    }


def _measure_object_share(sets: Sequence[SetStatistics]) -> float:
    """Return the share of pixels that are not background, over all sets with labels."""
    counts = [[one.pixels for one in labels.classes] for _, labels in list_labelled(sets)]
    total = sum(map(sum, counts))
    return 1 - sum(row[BACKGROUND_INDEX] for row in counts) / total if total else 0.0


def _count_seen_classes(sets: Sequence[SetStatistics]) -> int:
    seen = [
        [one.photos > 0 for one in labels.classes[BACKGROUND_INDEX + 1 :]]
        for _, labels in list_labelled(sets)
    ]
    return int(np.any(seen, axis=0).sum()) if seen else 0


def _list_warnings(sets: Sequence[SetStatistics], t: Texts) -> Iterator[Text]:
    """Yield warnings about figures that may mislead."""
    if any(figures.color is None for figures in sets):
        yield t("warning_no_photos")
    for figures in sets:
        name = clean_name(figures.name)
        if figures.labels is None:
            yield t("warning_unlabelled", set=name)
        else:
            yield from _list_label_warnings(figures, figures.labels, name, t)


def _list_label_warnings(
    figures: SetStatistics, labels: LabelStatistics, name: Text, t: Texts
) -> Iterator[Text]:
    photos = [one.photos for one in labels.classes]
    absent, rare = list_scarce_classes(figures.table, photos, RARE_PHOTOS, t)
    num_empty = sum(one.empty_objects for one in labels.classes)
    if absent:
        yield t("warning_absent", set=name, classes=_list_some(absent, t))
    if rare:
        yield t("warning_rare", set=name, limit=RARE_PHOTOS, classes=_list_some(rare, t))
    if num_empty:
        yield t("warning_empty", set=name, count=num_empty)


def _list_some(names: list[Text], t: Texts) -> Text:
    rest = len(names) - MAX_CLASSES_NAMED
    shown = names[:MAX_CLASSES_NAMED]
    return join_texts([*shown, t("warning_more", count=rest)] if rest > 0 else shown)
