"""Plots of lines: curves over values, over epochs, and against the diagonal."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from bunri.report.plots.parts import (
    Lines,
    choose_series_color,
    clean_label,
    describe_axis,
    describe_hover,
)
from bunri.report.plots.plots import Plot, Series, assemble_plot

MAX_LINE_CHARACTERS = 24
"""Longest name in the legend, which has to fit a phone."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) from left to right with their hover labels."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    hovers: Sequence[Lines]


def plot_curves(
    x: Sequence[float], series: Sequence[tuple[Series[float], str]], x_title: str, y_title: str
) -> Plot:
    """Return filled curves over the same places, each with its colour; shares on the axis."""
    traces = [
        go.Scatter(
            name=clean_label(one.name),
            x=list(x),
            y=list(one.values),
            mode="lines",
            line={"color": color, "width": 2, "shape": "hvh"},
            **describe_hover(one.hovers),
        )
        for one, color in series
    ]
    return assemble_plot(
        traces,
        height=300,
        xaxis=describe_axis(x_title, showgrid=False, range=[0, 255]),
        yaxis=describe_axis(y_title, tickformat=".1%", rangemode="tozero"),
        showlegend=True,
        hovermode="x",
    )


def plot_lines(lines: Sequence[Line], x_title: str, y_title: str, *, y_format: str = ".2f") -> Plot:
    """Return lines with a mark at each point, over whole numbers such as epochs."""
    traces = [
        go.Scatter(
            name=clean_label(one.name, limit=MAX_LINE_CHARACTERS),
            x=list(one.x),
            y=[float(f"{value:.5g}") for value in one.y],
            mode="lines+markers",
            line={"color": choose_series_color(number), "width": 2,
                  "dash": ("solid", "dash", "dot")[number // 5 % 3]},
            marker={"size": 6},
            **describe_hover(one.hovers),
        )
        for number, one in enumerate(lines)
    ]  # fmt: skip
    widest = max((max(one.x) - min(one.x) for one in lines if one.x), default=0)
    return assemble_plot(
        traces,
        height=300 + 20 * (len(lines) // 4),
        xaxis=describe_axis(
            x_title, showgrid=False, tickformat="d", tick0=0, dtick=max(1, round(widest / 8))
        ),
        yaxis=describe_axis(y_title, tickformat=y_format, rangemode="tozero"),
        showlegend=len(lines) > 1,
    )


def plot_reliability(line: Line, weights: Sequence[float], x_title: str, y_title: str) -> Plot:
    """Return points with shares on both axes against the diagonal where they should lie.

    The marks' areas grow with ``weights``, 0 to 1.
    """
    ideal = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": "var(--soft)", "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    heaviest = max(weights, default=0) or 1
    points = go.Scatter(
        x=[round(value, 4) for value in line.x],
        y=[round(value, 4) for value in line.y],
        mode="lines+markers",
        line={"color": choose_series_color(0), "width": 2},
        marker={"size": [7 + 17 * (weight / heaviest) ** 0.5 for weight in weights]},
        **describe_hover(line.hovers),
    )
    shares = {"tickformat": ".0%", "range": [0, 1.06]}  # room for a large point at 1
    return assemble_plot(
        [ideal, points],
        height=340,
        xaxis=describe_axis(x_title, **shares),
        yaxis=describe_axis(y_title, **shares),
    )
