"""Plots for pages, drawn by plotly in the browser.

Colours that change with the page's colour scheme are CSS variables, whose values
``templates/plots.js`` fills in. Texts arrive in one language.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from bunri.report.page import read_script
from bunri.report.plots.parts import (
    Lines,
    Parts,
    choose_bar_width,
    choose_height,
    choose_ink,
    choose_opacity,
    choose_series_color,
    clean_label,
    describe_axis,
    describe_class_axis,
    describe_hover,
    fill_color,
    join_lines,
    place_rows,
)

Plot = dict[str, Any]
"""``{"data": [...], "layout": {...}}`` as plotly.js takes it, plain JSON values."""

_DASH = "\N{EN DASH}"  # of a range on an axis; the line may break after it
_MEDIAN_LINE = {"color": "#1d2a26", "width": 1.5}  # seen on light and dark fills alike
_CLEAR = "rgba(0,0,0,0)"
_OUTLINE = {"color": "var(--outline)", "width": 1}
_GREY = (120, 130, 126)
_HEAT_SCALE = [[0, "var(--heat-0)"], [0.35, "var(--heat-1)"], [0.7, "var(--heat-2)"],
               [1, "var(--heat-3)"]]  # fmt: skip


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Series(Generic[Value]):
    """One value for each label of a plot, perhaps with texts beside the bars."""

    name: str
    values: Sequence[Value]
    hovers: Sequence[Lines]
    texts: Sequence[str] = ()


def read_plot_scripts() -> list[str]:
    """Return the scripts that a page with plots needs, for ``write_page``."""
    return [get_plotlyjs(), read_script("plots.js")]


def plot_class_bars(
    labels: Sequence[str],
    colors_rgb: Sequence[tuple[int, int, int]],
    series: Sequence[Series[float]],
    axis_title: str,
) -> Plot:
    """Return one group of horizontal bars for each class, in its colour; shares on the axis."""

    def trace(one: Series[float], rows: list[float], fills: list[str]) -> list[Any]:
        bars = go.Bar(
            name=clean_label(one.name),
            orientation="h",
            x=[value or 0 for value in one.values],
            y=rows,
            width=choose_bar_width(len(series)),
            marker={"color": fills, "line": _OUTLINE},
            text=list(one.texts),
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 11, "color": "var(--soft)"},
            **describe_hover(one.hovers),
            showlegend=False,
        )
        return [bars]

    longest = max((value for one in series for value in one.values), default=0) or 1
    axis = describe_axis(
        axis_title, tickformat=".0%", range=[0, 1.22 * longest], rangemode="tozero"
    )
    return _plot_class_rows(labels, colors_rgb, series, trace, axis)


def _plot_class_rows(
    labels: Sequence[str],
    colors_rgb: Sequence[tuple[int, int, int]],
    series: Sequence[Series[Value]],
    trace: Callable[[Series[Value], list[float], list[str]], list[Any]],
    axis: Parts,
) -> Plot:
    """Return rows for each class; series differ in the opacity of the class's colour."""
    traces = []
    for number, one in enumerate(series):
        rows = place_rows(len(labels), len(series), number)
        opacity = choose_opacity(number, len(series))
        traces += trace(one, rows, [fill_color(color, opacity) for color in colors_rgb])
    return assemble_plot(
        [*traces, *_explain_opacities([one.name for one in series])],
        height=choose_height(len(labels), len(series)),
        xaxis=axis,
        yaxis=describe_class_axis(labels),
        barmode="overlay",
        showlegend=len(series) > 1,
    )


def plot_class_ranges(
    labels: Sequence[str],
    colors_rgb: Sequence[tuple[int, int, int]],
    series: Sequence[Series[tuple[float, ...] | None]],
    axis_title: str,
) -> Plot:
    """Return a box with whiskers for each class and series, on a logarithmic axis.

    Values are the 5, 25, 50, 75 and 95 % quantiles.
    """
    trace = partial(_trace_ranges, width=choose_bar_width(len(series)))
    axis = describe_axis(axis_title, type="log", tickformat="~s")
    return _plot_class_rows(labels, colors_rgb, series, trace, axis)


def _trace_ranges(
    series: Series[tuple[float, ...] | None], rows: list[float], fills: list[str], width: float
) -> list[Any]:
    """Return the whiskers, boxes and medians of one series."""
    kept = [(y, q, i) for i, (y, q) in enumerate(zip(rows, series.values, strict=True)) if q]
    y = [row for row, _, _ in kept]
    common = {"name": clean_label(series.name), "showlegend": False}
    hover = describe_hover([series.hovers[i] for _, _, i in kept])
    whiskers = go.Scatter(
        # Bars lie below lines, so the line leaves the box out.
        x=[x for _, q, _ in kept for x in (q[0], q[1], None, q[3], q[4], None)],
        y=[v for row in y for v in (row, row, None) * 2],
        mode="lines",
        line={"color": "var(--soft)", "width": 2},
        hoverinfo="skip",
        **common,
    )
    boxes = go.Bar(
        orientation="h",
        base=[q[1] for _, q, _ in kept],
        x=[q[3] - q[1] for _, q, _ in kept],
        y=y,
        width=width,
        marker={"color": [fills[i] for _, _, i in kept], "line": _OUTLINE},
        **hover,
        **common,
    )
    medians = go.Scatter(
        x=[q[2] for _, q, _ in kept],
        y=y,
        mode="markers",
        marker={"color": "#fff", "size": 8, "symbol": "diamond", "line": _MEDIAN_LINE},
        **hover,
        **common,
    )
    return [whiskers, boxes, medians]


def plot_counts(
    labels: Sequence[str], series: Sequence[Series[float]], x_title: str, y_title: str
) -> Plot:
    """Return one group of upright bars for each label; shares on the axis."""
    traces = [
        go.Bar(
            name=clean_label(one.name),
            x=list(range(len(labels))),
            y=list(one.values),
            marker={"color": choose_series_color(number)},
            **describe_hover(one.hovers),
        )
        for number, one in enumerate(series)
    ]
    ticktext = [clean_label(label).replace(_DASH, f"{_DASH}<br>") for label in labels]
    return assemble_plot(
        traces,
        height=300,
        xaxis=describe_axis(
            x_title,
            showgrid=False,
            tickvals=list(range(len(labels))),
            ticktext=ticktext,
            tickangle=0,
        ),
        yaxis=describe_axis(y_title, tickformat=".0%", rangemode="tozero"),
        barmode="group",
        bargap=0.25,
        showlegend=len(series) > 1,
    )


def plot_matrix(
    labels: Sequence[str],
    shades: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    hovers: Sequence[Sequence[Lines]],
) -> Plot:
    """Return a square table of shaded cells; row 0 at the top, columns in the same order."""
    places = list(range(len(labels)))
    names = [clean_label(label) for label in labels]
    trace = go.Heatmap(
        x=places,
        y=places,
        z=[[shade and round(shade, 4) for shade in row] for row in shades],
        zmin=0,
        zmax=1,
        colorscale=_HEAT_SCALE,
        showscale=False,
        xgap=2,
        ygap=2,
        hovertext=[[join_lines(lines) for lines in row] for row in hovers],
        hoverinfo="text",
    )
    # As a trace of their own: plotly's choice of black or white on a cell is hard to read.
    written = go.Scatter(
        x=[column for row in texts for column in range(len(row))],
        y=[place for place, row in enumerate(texts) for _ in row],
        text=[clean_label(text) for row in texts for text in row],
        mode="text",
        textfont={"size": 12, "color": [choose_ink(shade) for row in shades for shade in row]},
        hoverinfo="skip",
    )
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    span = {"range": [-0.5, len(labels) - 0.5]}
    return assemble_plot(
        [trace, written],
        height=max(300, 34 * len(labels) + 110),
        xaxis=describe_axis("", side="top", tickangle=-90, **ticks, **span),
        yaxis=describe_axis("", **ticks, range=span["range"][::-1]),
    )


def plot_grid(values: Sequence[Sequence[float]]) -> Plot:
    """Return a small square map of shares, row 0 at the top, from 0 to the highest of them."""
    trace = go.Heatmap(
        z=[[float(f"{value:.4g}") for value in row] for row in values],
        zmin=0,
        colorscale=_HEAT_SCALE,
        showscale=False,
        hovertemplate="%{z:.1%}<extra></extra>",
    )
    hidden = {"visible": False, "fixedrange": True}
    return assemble_plot(
        [trace],
        height=0,
        xaxis=hidden,
        yaxis={**hidden, "autorange": "reversed"},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )


def plot_bubbles(
    series: Sequence[Series[tuple[float, float, int]]], x_title: str, y_title: str
) -> Plot:
    """Return points (x, y, weight) whose area grows with their weight."""
    heaviest = max(weight for one in series for _, _, weight in one.values)
    traces = [
        go.Scatter(
            name=clean_label(one.name),
            x=[x for x, _, _ in one.values],
            y=[y for _, y, _ in one.values],
            mode="markers",
            marker={
                "size": [7 + 33 * (weight / heaviest) ** 0.5 for _, _, weight in one.values],
                "color": choose_series_color(number),
                "opacity": 0.7,
                "line": {"color": "var(--card)", "width": 1},
            },
            **describe_hover(one.hovers),
        )
        for number, one in enumerate(series)
    ]
    return assemble_plot(
        traces,
        height=340,
        xaxis=describe_axis(x_title, rangemode="tozero"),
        yaxis=describe_axis(y_title, rangemode="tozero"),
        showlegend=len(series) > 1,
    )


def assemble_plot(traces: Sequence[Any], **layout: Any) -> Plot:  # noqa: ANN401 (plotly's)
    """Return a plot in the page's font and colours, which scrolls with the page under a finger."""
    font = {"family": "var(--font)", "size": 13, "color": "var(--ink)"}
    settings = {
        "font": font,
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "var(--card)",
            "bordercolor": "var(--line)",
            "font": font,
            "align": "left",
            "namelength": 0,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
        "showlegend": False,
        **layout,
    }
    if not settings["height"]:
        del settings["height"]  # as high as its place on the page
    return {
        "data": [trace.to_plotly_json() for trace in traces],
        "layout": go.Layout(**settings).to_plotly_json(),
    }


def _explain_opacities(names: Sequence[str]) -> list[Any]:
    """Return invisible bars that give the legend grey keys, since it is not about a class."""
    return [
        go.Bar(
            name=clean_label(name),
            x=[None],
            y=[None],
            marker={
                "color": fill_color(_GREY, choose_opacity(number, len(names))),
                "line": _OUTLINE,
            },
        )
        for number, name in enumerate(names)
    ]
