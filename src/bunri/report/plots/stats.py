"""Plots of the statistics page."""

from collections.abc import Sequence
from functools import partial

from bunri.core.classes import ClassInfo
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import drop_controls
from bunri.report.page import show_count, show_share
from bunri.report.plots import plots
from bunri.report.plots.lines import plot_curves
from bunri.report.plots.parts import Lines
from bunri.report.plots.plots import Plot, Series
from bunri.report.texts import Built, OneLanguage, Texts, collect_languages
from bunri.stats.statistics import (
    AreaStatistics,
    ColorStatistics,
    Distribution,
    LabelStatistics,
    SetStatistics,
)

_VALUES_PER_COLOR_BIN = 4
_MAX_SINGLE = 12  # up to this value each has a bar of its own
_WIDE_BINS = (
    *((value, value) for value in range(6)),
    (6, 7),
    (8, 10),
    (11, 15),
    (16, 20),
    (21, 30),
    (31, 50),
    (51, 100),
    (101, None),
)
_Labelled = Sequence[tuple[SetStatistics, LabelStatistics]]


def build_plots(sets: Sequence[SetStatistics], t: Texts) -> Built[Plot]:
    """Return every plot of the page: key in the template -> language -> plot.

    A plot without words stands under the language "any". A plot that has nothing to show is
    not there.
    """
    found = collect_languages(t, partial(_plot_all, sets))
    for number, (_, labels) in enumerate(list_labelled(sets)):
        for index, one in enumerate(labels.classes):
            if one.occupancy is not None:
                plot = plots.plot_grid(one.occupancy.tolist())
                found[f"place-{number}-{index}"] = {"any": plot}
    return found


def list_labelled(sets: Sequence[SetStatistics]) -> _Labelled:
    """Return the sets with labels, each with its labels' figures."""
    return [(figures, figures.labels) for figures in sets if figures.labels is not None]


def _head(info: ClassInfo, figures: SetStatistics, t: OneLanguage) -> str:
    return f"{t.name_class(info)} · {drop_controls(figures.name)}"


def _plot_all(sets: Sequence[SetStatistics], t: OneLanguage) -> dict[str, Plot]:
    labelled = list_labelled(sets)
    found: dict[str, Plot] = {}
    if labelled:
        found |= {key: _plot_measure(labelled, key, t) for key in ("photo", "object", "pixel")}
        found["classes-per-photo"] = _plot_counts(
            [(figures, labels.classes_per_photo) for figures, labels in labelled], "classes", t
        )
        found["objects-per-photo"] = _plot_counts(
            [(figures, labels.objects_per_photo) for figures, labels in labelled], "objects", t
        )
    if any(labels.all_areas for _, labels in labelled):
        found["areas"] = _plot_areas(labelled, t)
        found["doublings"] = _plot_doublings(labelled, t)
    for number, (figures, labels) in enumerate(labelled):
        found[f"together-{number}"] = _plot_together(figures, labels, t)
    if len({size for figures in sets for size, _ in figures.sizes}) > 1:
        found["sizes"] = _plot_sizes(sets, t)
    for number, figures in enumerate(sets):
        if figures.color is not None:
            found[f"colors-{number}"] = _plot_colors(figures.color, t)
    return found


# -- class by class ------------------------------------------------------------------------


def _list_classes(figures: SetStatistics) -> list[tuple[int, ClassInfo]]:
    """Return (index, class) of each class but the background."""
    return [(i, c) for i, c in enumerate(figures.table.classes) if i != BACKGROUND_INDEX]


def _plot_measure(labelled: _Labelled, unit: str, t: OneLanguage) -> Plot:
    """Return bars of the share of photos, objects or pixels that each class has."""
    classes = _list_classes(labelled[0][0])
    series = []
    for figures, labels in labelled:
        counts = [getattr(one, f"{unit}s") for one in labels.classes]
        total = figures.num_photos if unit == "photo" else sum(counts)
        shares = [counts[index] / max(1, total) for index, _ in classes]
        hovers = [
            (_head(info, figures, t), _describe_count(unit, counts[index], total, t))
            for index, info in classes
        ]
        series.append(
            Series(drop_controls(figures.name), shares, hovers, [show_share(s) for s in shares])
        )
    return plots.plot_class_bars(
        [t.name_class(info) for _, info in classes],
        [info.color_rgb for _, info in classes],
        series,
        t(f"axis_{unit}_share"),
    )


def _describe_count(unit: str, count: int, total: int, t: OneLanguage) -> str:
    share = show_share(count / max(1, total))
    return t(f"hover_{unit}", count=show_count(count), total=show_count(total), share=share)


def _plot_areas(labelled: _Labelled, t: OneLanguage) -> Plot:
    """Return a box of object sizes for each class."""
    classes = _list_classes(labelled[0][0])
    series = []
    for figures, labels in labelled:
        areas = [labels.classes[index].area for index, _ in classes]
        hovers = [
            (_head(info, figures, t), *_describe_areas(area, t)) if area else ()
            for (_, info), area in zip(classes, areas, strict=True)
        ]
        quantiles = [area.quantiles_px[1:-1] if area else None for area in areas]
        series.append(Series(drop_controls(figures.name), quantiles, hovers))
    return plots.plot_class_ranges(
        [t.name_class(info) for _, info in classes],
        [info.color_rgb for _, info in classes],
        series,
        t("axis_area"),
    )


def _describe_areas(area: AreaStatistics, t: OneLanguage) -> Lines:
    q05, q25, q50, q75, q95 = map(show_count, area.quantiles_px[1:-1])
    return (
        t("hover_area_count", count=show_count(area.num_objects)),
        t("hover_area_median", median=q50),
        t("hover_area_half", low=q25, high=q75),
        t("hover_area_most", low=q05, high=q95),
    )


# -- objects and photos --------------------------------------------------------------------


def _plot_doublings(labelled: _Labelled, t: OneLanguage) -> Plot:
    """Return the shares of objects of each size, doubling by doubling."""
    kept = [(figures, labels.all_areas) for figures, labels in labelled if labels.all_areas]
    num_bins = max(len(area.doublings) for _, area in kept)
    series = []
    for figures, area in kept:
        counts = [*area.doublings, *[0] * (num_bins - len(area.doublings))]
        hovers = []
        for bin_, count in enumerate(counts):
            low, high = show_count(2**bin_), show_count(2 ** (bin_ + 1) - 1)
            says = _describe_count("object", count, area.num_objects, t)
            hovers.append(
                (drop_controls(figures.name), t("hover_doubling", low=low, high=high), says)
            )
        shares = [count / area.num_objects for count in counts]
        series.append(Series(drop_controls(figures.name), shares, hovers))
    labels = [_shorten(2**bin_) for bin_ in range(num_bins)]
    return plots.plot_counts(labels, series, t("axis_area_from"), t("axis_object_share"))


def _shorten(power: int) -> str:
    """Return a power of two in few letters: 512, 1k, 2k, ... 1M."""
    for limit, letter in ((2**20, "M"), (2**10, "k")):
        if power >= limit:
            return f"{power // limit}{letter}"
    return str(power)


def _plot_counts(
    distributions: Sequence[tuple[SetStatistics, Distribution]], unit: str, t: OneLanguage
) -> Plot:
    """Return the shares of photos with each number of classes or objects."""
    highest = max(value for _, distribution in distributions for value, _ in distribution)
    bins = _choose_bins(highest)
    labels = [_name_bin(low, high) for low, high in bins]
    series = []
    for figures, distribution in distributions:
        shares, hovers = [], []
        for (low, high), label in zip(bins, labels, strict=True):
            count = sum(n for v, n in distribution if low <= v and (high is None or v <= high))
            shares.append(count / figures.num_photos)
            says = _describe_count("photo", count, figures.num_photos, t)
            head = t(f"hover_{unit}_value", value=label)
            hovers.append((drop_controls(figures.name), head, says))
        series.append(Series(drop_controls(figures.name), shares, hovers))
    return plots.plot_counts(labels, series, t(f"{unit}_per_photo"), t("axis_photo_share"))


def _choose_bins(highest: int) -> list[tuple[int, int | None]]:
    """Return (first, last value) of each bar; the last of all may have no end."""
    if highest <= _MAX_SINGLE:
        return [(value, value) for value in range(highest + 1)]
    return [one for one in _WIDE_BINS if one[0] <= highest]


def _name_bin(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}\N{EN DASH}{high}"


def _plot_together(figures: SetStatistics, labels: LabelStatistics, t: OneLanguage) -> Plot:
    """Return the numbers of photos that hold two classes, shaded by the row's share."""
    classes = [(i, c) for i, c in _list_classes(figures) if labels.classes[i].photos]
    shades, texts, hovers = [], [], []
    for row, info in classes:
        total = labels.classes[row].photos
        counts = [int(labels.together[row, column]) for column, _ in classes]
        shades.append([count / total for count in counts])
        texts.append([show_count(count) if count else "" for count in counts])
        hovers.append(
            [
                (
                    f"{t.name_class(info)} + {t.name_class(other)}",
                    t("hover_together", count=show_count(count)),
                    t(
                        "hover_together_share",
                        share=show_share(count / total),
                        name=t.name_class(info),
                    ),
                )
                for (_, other), count in zip(classes, counts, strict=True)
            ]
        )
    return plots.plot_matrix([t.name_class(c) for _, c in classes], shades, texts, hovers)


# -- photos --------------------------------------------------------------------------------


def _plot_sizes(sets: Sequence[SetStatistics], t: OneLanguage) -> Plot:
    """Return a bubble for each size of photo."""
    series = []
    for figures in sets:
        points = [(float(width), float(height), n) for (width, height), n in figures.sizes]
        hovers = [
            (
                drop_controls(figures.name),
                f"{width:.0f} × {height:.0f}",
                t("hover_size", count=show_count(n)),
            )
            for width, height, n in points
        ]
        series.append(Series(drop_controls(figures.name), points, hovers))
    return plots.plot_bubbles(series, t("axis_width"), t("axis_height"))


def _plot_colors(color: ColorStatistics, t: OneLanguage) -> Plot:
    """Return the distributions of the values of red, green and blue."""
    binned = color.histogram.reshape(3, -1, _VALUES_PER_COLOR_BIN).sum(2)
    starts = list(range(0, 256, _VALUES_PER_COLOR_BIN))
    curves = []
    for channel, counts in zip(("red", "green", "blue"), binned.tolist(), strict=True):
        shares = [count / color.num_pixels for count in counts]
        hovers = [
            (
                t(channel),
                t("hover_values", low=low, high=low + _VALUES_PER_COLOR_BIN - 1),
                show_share(share),
            )
            for low, share in zip(starts, shares, strict=True)
        ]
        rounded = [float(f"{share:.4g}") for share in shares]
        curves.append((Series(t(channel), rounded, hovers), f"var(--{channel})"))
    middles = [start + (_VALUES_PER_COLOR_BIN - 1) / 2 for start in starts]
    return plot_curves(middles, curves, t("axis_value"), t("axis_pixel_share"))
