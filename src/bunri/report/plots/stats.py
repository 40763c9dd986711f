"""Plots of the statistics page."""

from collections.abc import Sequence
from dataclasses import dataclass

from bunri.core.classes import ClassInfo
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.report.page import show_count, show_share
from bunri.report.plots import plots
from bunri.report.plots.lines import plot_curves
from bunri.report.plots.parts import Lines
from bunri.report.plots.plots import Plot, RangeSeries, Series
from bunri.report.texts import LANGUAGES, Text, Texts, clean_name, name_class
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


def build_plots(sets: Sequence[SetStatistics], t: Texts) -> dict[str, dict[str, Plot]]:
    """Return every plot of the page: key in the template -> language -> plot.

    A plot without words stands under the language "any". A plot that has nothing to show is
    not there.
    """
    found: dict[str, dict[str, Plot]] = {}
    for language in LANGUAGES:
        for key, plot in _plot_all(sets, _Language(t, language)).items():
            found.setdefault(key, {})[language] = plot
    for number, (_, labels) in enumerate(list_labelled(sets)):
        for index, one in enumerate(labels.classes):
            if one.occupancy is not None:
                plot = plots.plot_grid(one.occupancy.tolist())
                found[f"place-{number}-{index}"] = {"any": plot}
    return found


def list_labelled(sets: Sequence[SetStatistics]) -> _Labelled:
    """Return the sets with labels, each with its labels' figures."""
    return [(figures, figures.labels) for figures in sets if figures.labels is not None]


@dataclass(frozen=True, slots=True)
class _Language:
    """Texts in one language."""

    texts: Texts
    language: str

    def text(self, key: str, **values: str | int | Text) -> str:
        return self.texts(key, **values).to(self.language)

    def name_set(self, figures: SetStatistics) -> str:
        return clean_name(figures.name).to(self.language)

    def name_class(self, info: ClassInfo) -> str:
        return name_class(info).to(self.language)

    def head(self, info: ClassInfo, figures: SetStatistics) -> str:
        return f"{self.name_class(info)} · {self.name_set(figures)}"


def _plot_all(sets: Sequence[SetStatistics], voice: _Language) -> dict[str, Plot]:
    labelled = list_labelled(sets)
    found: dict[str, Plot] = {}
    if labelled:
        found |= {key: _plot_measure(labelled, key, voice) for key in ("photo", "object", "pixel")}
        found["classes-per-photo"] = _plot_counts(
            [(figures, labels.classes_per_photo) for figures, labels in labelled], "classes", voice
        )
        found["objects-per-photo"] = _plot_counts(
            [(figures, labels.objects_per_photo) for figures, labels in labelled], "objects", voice
        )
    if any(labels.all_areas for _, labels in labelled):
        found["areas"] = _plot_areas(labelled, voice)
        found["doublings"] = _plot_doublings(labelled, voice)
    for number, (figures, labels) in enumerate(labelled):
        found[f"together-{number}"] = _plot_together(figures, labels, voice)
    if len({size for figures in sets for size, _ in figures.sizes}) > 1:
        found["sizes"] = _plot_sizes(sets, voice)
    for number, figures in enumerate(sets):
        if figures.color is not None:
            found[f"colors-{number}"] = _plot_colors(figures.color, voice)
    return found


# -- class by class ------------------------------------------------------------------------


def _list_classes(figures: SetStatistics) -> list[tuple[int, ClassInfo]]:
    """Return (index, class) of each class but the background."""
    return [(i, c) for i, c in enumerate(figures.table.classes) if i != BACKGROUND_INDEX]


def _plot_measure(labelled: _Labelled, unit: str, voice: _Language) -> Plot:
    """Return bars of the share of photos, objects or pixels that each class has."""
    classes = _list_classes(labelled[0][0])
    series = []
    for figures, labels in labelled:
        counts = [getattr(one, f"{unit}s") for one in labels.classes]
        total = figures.num_photos if unit == "photo" else sum(counts)
        shares = [counts[index] / max(1, total) for index, _ in classes]
        hovers = []
        for (index, info), share in zip(classes, shares, strict=True):
            count = show_count(counts[index])
            says = voice.text(
                f"hover_{unit}", count=count, total=show_count(total), share=show_share(share)
            )
            hovers.append((voice.head(info, figures), says))
        series.append(
            Series(voice.name_set(figures), shares, hovers, [show_share(s) for s in shares])
        )
    return plots.plot_class_bars(
        [voice.name_class(info) for _, info in classes],
        [info.color_rgb for _, info in classes],
        series,
        voice.text(f"axis_{unit}_share"),
    )


def _plot_areas(labelled: _Labelled, voice: _Language) -> Plot:
    """Return a box of object sizes for each class."""
    classes = _list_classes(labelled[0][0])
    series = []
    for figures, labels in labelled:
        areas = [labels.classes[index].area for index, _ in classes]
        hovers = [
            (voice.head(info, figures), *_describe_areas(area, voice)) if area else ()
            for (_, info), area in zip(classes, areas, strict=True)
        ]
        quantiles = [area.quantiles_px[1:-1] if area else None for area in areas]
        series.append(RangeSeries(voice.name_set(figures), quantiles, hovers))
    return plots.plot_class_ranges(
        [voice.name_class(info) for _, info in classes],
        [info.color_rgb for _, info in classes],
        series,
        voice.text("axis_area"),
    )


def _describe_areas(area: AreaStatistics, voice: _Language) -> Lines:
    q05, q25, q50, q75, q95 = map(show_count, area.quantiles_px[1:-1])
    return (
        voice.text("hover_area_count", count=show_count(area.num_objects)),
        voice.text("hover_area_median", median=q50),
        voice.text("hover_area_half", low=q25, high=q75),
        voice.text("hover_area_most", low=q05, high=q95),
    )


# -- objects and photos --------------------------------------------------------------------


def _plot_doublings(labelled: _Labelled, voice: _Language) -> Plot:
    """Return the shares of objects of each size, doubling by doubling."""
    kept = [(figures, labels.all_areas) for figures, labels in labelled if labels.all_areas]
    num_bins = max(len(area.doublings) for _, area in kept)
    series = []
    for figures, area in kept:
        counts = [*area.doublings, *[0] * (num_bins - len(area.doublings))]
        hovers = []
        for bin_, count in enumerate(counts):
            low, high = show_count(2**bin_), show_count(2 ** (bin_ + 1) - 1)
            says = voice.text(
                "hover_object",
                count=show_count(count),
                total=show_count(area.num_objects),
                share=show_share(count / area.num_objects),
            )
            hovers.append(
                (voice.name_set(figures), voice.text("hover_doubling", low=low, high=high), says)
            )
        shares = [count / area.num_objects for count in counts]
        series.append(Series(voice.name_set(figures), shares, hovers))
    labels = [_shorten(2**bin_) for bin_ in range(num_bins)]
    return plots.plot_counts(
        labels, series, voice.text("axis_area_from"), voice.text("axis_object_share")
    )


def _shorten(power: int) -> str:
    """Return a power of two in few letters: 512, 1k, 2k, ... 1M."""
    for limit, letter in ((2**20, "M"), (2**10, "k")):
        if power >= limit:
            return f"{power // limit}{letter}"
    return str(power)


def _plot_counts(
    distributions: Sequence[tuple[SetStatistics, Distribution]], unit: str, voice: _Language
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
            says = voice.text(
                "hover_photo",
                count=show_count(count),
                total=show_count(figures.num_photos),
                share=show_share(shares[-1]),
            )
            head = voice.text(f"hover_{unit}_value", value=label)
            hovers.append((voice.name_set(figures), head, says))
        series.append(Series(voice.name_set(figures), shares, hovers))
    return plots.plot_counts(
        labels, series, voice.text(f"{unit}_per_photo"), voice.text("axis_photo_share")
    )


def _choose_bins(highest: int) -> list[tuple[int, int | None]]:
    """Return (first, last value) of each bar; the last of all may have no end."""
    if highest <= _MAX_SINGLE:
        return [(value, value) for value in range(highest + 1)]
    return [one for one in _WIDE_BINS if one[0] <= highest]


def _name_bin(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}\N{EN DASH}{high}"


def _plot_together(figures: SetStatistics, labels: LabelStatistics, voice: _Language) -> Plot:
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
                    f"{voice.name_class(info)} + {voice.name_class(other)}",
                    voice.text("hover_together", count=show_count(count)),
                    voice.text(
                        "hover_together_share",
                        share=show_share(count / total),
                        name=voice.name_class(info),
                    ),
                )
                for (_, other), count in zip(classes, counts, strict=True)
            ]
        )
    return plots.plot_matrix([voice.name_class(c) for _, c in classes], shades, texts, hovers)


# -- photos --------------------------------------------------------------------------------


def _plot_sizes(sets: Sequence[SetStatistics], voice: _Language) -> Plot:
    """Return a bubble for each size of photo."""
    series = []
    for figures in sets:
        points = [(float(width), float(height), n) for (width, height), n in figures.sizes]
        hovers = [
            (
                voice.name_set(figures),
                f"{width:.0f} × {height:.0f}",
                voice.text("hover_size", count=show_count(n)),
            )
            for width, height, n in points
        ]
        series.append((voice.name_set(figures), points, hovers))
    return plots.plot_bubbles(series, voice.text("axis_width"), voice.text("axis_height"))


def _plot_colors(color: ColorStatistics, voice: _Language) -> Plot:
    """Return the distributions of the values of red, green and blue."""
    binned = color.histogram.reshape(3, -1, _VALUES_PER_COLOR_BIN).sum(2)
    starts = list(range(0, 256, _VALUES_PER_COLOR_BIN))
    curves = []
    for channel, counts in zip(("red", "green", "blue"), binned.tolist(), strict=True):
        shares = [count / color.num_pixels for count in counts]
        hovers = [
            (
                voice.text(channel),
                voice.text("hover_values", low=low, high=low + _VALUES_PER_COLOR_BIN - 1),
                show_share(share),
            )
            for low, share in zip(starts, shares, strict=True)
        ]
        rounded = [float(f"{share:.4g}") for share in shares]
        curves.append((Series(voice.text(channel), rounded, hovers), f"var(--{channel})"))
    middles = [start + (_VALUES_PER_COLOR_BIN - 1) / 2 for start in starts]
    return plot_curves(middles, curves, voice.text("axis_value"), voice.text("axis_pixel_share"))
