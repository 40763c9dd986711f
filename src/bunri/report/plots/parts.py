"""Common parts of plots: axes, rows, colours and escaped labels."""

from collections.abc import Sequence
from html import escape
from typing import Any

Parts = dict[str, Any]
"""Settings of plotly by name."""
Lines = Sequence[str]
"""Lines of a hover label; plain text."""

MAX_LABEL_CHARACTERS = 18
MAX_LINE_CHARACTERS = 80
_ROW_PX = 15  # height of one bar of a horizontal plot


def describe_axis(title: str, **more: Any) -> Parts:  # noqa: ANN401 (plotly's)
    """Return an axis that stays where it is under a finger, in the colours of the page."""
    return {
        "title": {
            "text": clean_label(title, limit=MAX_LINE_CHARACTERS),
            "font": {"size": 12},
            "standoff": 8,
        },
        "automargin": True,
        "fixedrange": True,
        "gridcolor": "var(--line)",
        "zerolinecolor": "var(--line)",
        "tickfont": {"size": 12},
        "ticklabelstandoff": 5,
        "ticks": "",
        **more,
    }


def describe_class_axis(labels: Sequence[str]) -> Parts:
    """Return the upright axis of a plot with a row for each class, the first at the top."""
    # Numbers as places: names that look like numbers or dates would become an axis of these.
    return describe_axis(
        "",
        tickvals=list(range(len(labels))),
        ticktext=[clean_label(label) for label in labels],
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )


def place_rows(num_labels: int, num_series: int, number: int) -> list[float]:
    """Return the positions of one series' bars, so that those of a label lie side by side."""
    offset = (number - (num_series - 1) / 2) * 0.8 / num_series
    return [label + offset for label in range(num_labels)]


def choose_bar_width(num_series: int) -> float:
    """Return the thickness of a bar, where the rows of two labels are 1 apart."""
    return 0.8 / num_series * (0.9 if num_series > 1 else 0.85)


def choose_height(num_labels: int, num_series: int) -> int:
    """Return the height of a plot of horizontal bars in pixels."""
    return max(26, _ROW_PX * num_series + 10) * num_labels + 80


def choose_opacity(number: int, count: int) -> float:
    """Return the opacity of a series' colour: 1 for the first, less for the others."""
    return 1.0 if count == 1 else 1.0 - 0.7 * number / (count - 1)


def fill_color(color_rgb: tuple[int, int, int], opacity: float) -> str:
    """Return a colour as CSS writes it."""
    return f"rgba({','.join(map(str, color_rgb))},{opacity:.2f})"


def choose_ink(shade: float | None) -> str:
    """Return the CSS colour of text that is readable on a cell of this shade."""
    for limit, name in ((0.45, "low"), (0.58, "middle")):
        if (shade or 0) < limit:
            return f"var(--ink-{name})"
    return "var(--ink-high)"


def choose_series_color(number: int) -> str:
    """Return the colour of a series that stands for no class."""
    return f"var(--series-{number % 5 + 1})"


def describe_hover(hovers: Sequence[Lines]) -> Parts:
    """Return the hover labels of a trace."""
    return {"hovertext": [join_lines(lines) for lines in hovers], "hoverinfo": "text"}


def join_lines(lines: Lines) -> str:
    """Return the text of a hover label."""
    return "<br>".join(clean_label(line, limit=MAX_LINE_CHARACTERS) for line in lines)


def clean_label(text: str, *, limit: int = MAX_LABEL_CHARACTERS) -> str:
    """Return text escaped for plotly, which interprets tags and entities in labels."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return escape(text, quote=False)
