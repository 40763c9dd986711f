"""Print: words in a stroke alphabet, and lines of text too small to read.

A font file would be drawn differently on different machines.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from bunri.scenes.canvas import Canvas, Floats, Points
from bunri.scenes.colors import Color

Box = tuple[float, float, float, float]
"""Left, top, width and height in the coordinates of a surface."""
Place = Callable[[Points], Points]
"""Maps (N, 2) points of a surface to the object's coordinates."""

# Strokes of each letter through a grid of columns a to c and rows 0 (top) to 4.
_LETTERS = {
    "A": "a4b0c4 a3c3", "B": "a0a4b4c3b2a2 a0b0c1b2", "C": "c1b0a1a3b4c3",
    "D": "a0a4b4c3c1b0a0", "E": "c0a0a4c4 a2b2", "F": "c0a0a4 a2b2", "G": "c1b0a1a3b4c3c2b2",
    "H": "a0a4 c0c4 a2c2", "I": "b0b4", "J": "c0c3b4a3", "K": "a0a4 c0a2c4", "L": "a0a4c4",
    "M": "a4a0b2c0c4", "N": "a4a0c4c0", "O": "b0a1a3b4c3c1b0", "P": "a4a0b0c1b2a2",
    "Q": "b0a1a3b4c3c1b0 b3c4", "R": "a4a0b0c1b2a2c4", "S": "c1b0a1c3b4a3", "T": "a0c0 b0b4",
    "U": "a0a3b4c3c0", "V": "a0b4c0", "W": "a0a4b2c4c0", "X": "a0c4 c0a4", "Y": "a0b2c0 b2b4",
    "9": "c1b0a1b2c1c3b4a3", "5": "c0a0a2b2c3b4a4", "1": "a1b0b4 a4c4", "+": "a2c2 b1b3",
    "-": "a2c2", ".": "b4b4", " ": "",
}  # fmt: skip
_SPACING = 0.45
"""Gap between letters as a share of a letter's width."""


def print_word(
    canvas: Canvas,
    word: str,
    box: Box,
    ink: Color,
    *,
    width: float,
    place: Place = np.asarray,
    within: Floats | float = 1.0,
    opacity: float | Floats = 1.0,
) -> None:
    """Paint a word that fills ``box`` of a surface, in strokes ``width`` units wide."""
    strokes = trace_word(word, box, place)
    canvas.paint(canvas.stroke(*strokes, width=width) * within, ink, opacity)


def trace_word(word: str, box: Box, place: Place = np.asarray) -> list[Points]:
    """Return the strokes of a word that fills ``box`` of a surface, by default of the board."""
    left, top, width, height = box
    cell = width / (len(word) * (1 + _SPACING) - _SPACING)
    lines = []
    for index, letter in enumerate(word):
        for stroke in _LETTERS[letter].split():
            columns = np.array(["abc".index(c) / 2 for c in stroke[::2]])
            rows = np.array([int(r) / 4 for r in stroke[1::2]])
            x = left + (index * (1 + _SPACING) + columns) * cell
            lines.append(place(np.stack([x, top + rows * height], axis=1)))
    return lines


def trace_text_lines(
    rng: Generator, count: int, box: Box, place: Place = np.asarray
) -> list[Points]:
    """Return the words of ``count`` lines of text as short strokes."""
    left, top, width, height = box
    lines = []
    for row in range(count):
        y = top + height * (row + 0.5) / count
        end = left + width * (rng.uniform(0.3, 0.8) if rng.random() < 0.18 else 1.0)
        x = left
        while x < end - 0.02 * width:
            stop = min(x + width * rng.uniform(0.05, 0.2), end)
            lines.append(place(np.array([(x, y), (stop, y)])))
            x = stop + 0.025 * width
    return lines
