"""Plots of values with their intervals as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from bunri.report.plots.parts import (
    Lines,
    Parts,
    choose_bar_width,
    choose_height,
    choose_series_color,
    clean_label,
    describe_axis,
    describe_class_axis,
    describe_hover,
)
from bunri.report.plots.plots import Plot, assemble_plot
from bunri.scores.intervals import Interval


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, NaN for "no data", with its interval; ``group`` decides the colour."""

    label: str
    group: str
    value: float
    interval: Interval
    hover: Lines


def plot_interval_bars(bars: Sequence[Bar], groups: Sequence[str], axis_title: str) -> Plot:
    """Return horizontal bars, the first at the top, with their intervals as whiskers."""
    traces = []
    for number, group in enumerate(groups):
        rows = [i for i, bar in enumerate(bars) if bar.group == group and bar.value == bar.value]
        chosen = [bars[i] for i in rows]
        traces.append(
            go.Bar(
                name=clean_label(group),
                orientation="h",
                x=[float(f"{bar.value:.5g}") for bar in chosen],
                y=rows,
                width=choose_bar_width(1),
                marker={"color": choose_series_color(number)},
                error_x=_describe_whiskers(chosen),
                **describe_hover([bar.hover for bar in chosen]),
            )
        )
    return assemble_plot(
        traces,
        height=choose_height(len(bars), 1),
        xaxis=describe_axis(axis_title, tickformat=".2f", rangemode="tozero"),
        yaxis=describe_class_axis([bar.label for bar in bars]),
        barmode="overlay",
        showlegend=len(groups) > 1,
    )


def _describe_whiskers(bars: Sequence[Bar]) -> Parts:
    ends = [
        (one.interval.high - one.value, one.value - one.interval.low)
        if one.interval.is_known
        else (0, 0)
        for one in bars
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": [float(f"{high:.5g}") for high, _ in ends],
        "arrayminus": [float(f"{low:.5g}") for _, low in ends],
        "visible": any(one.interval.is_known for one in bars),
        "color": "var(--ink)",
        "thickness": 1.5,
        "width": 3,
    }
