"""Looks shared by several classes: polished metal, clear walls, board."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.scenes.canvas import Canvas
from bunri.scenes.colors import Color, make_gray
from bunri.scenes.solids import Face, Turned


def make_steel(canvas: Canvas, body: Turned) -> FloatArray:
    """Return the brightness of polished metal on a turned body, (H, W), about 0.3 to 1.3."""
    lean = np.float32(canvas.light_across)
    x = body.across
    bright = 1.0 * _bump(x, 0.45 * lean, 0.28) + 0.45 * _bump(x, -0.62 * lean, 0.16)
    return np.asarray(0.42 + 0.75 * bright - 0.25 * np.abs(x) ** 6, np.float32)


def find_streak(canvas: Canvas, body: Turned, center: float, width: float) -> FloatArray:
    """Return a highlight along a turned body, (H, W), 0 to 1.

    ``center`` is its position across the body, 1 on the edge towards the light; ``width`` is half
    of its width in the same units.
    """
    lean = 1.0 if canvas.light_across > 0 else -1.0
    return _bump(body.across, center * lean, width) * body.coverage


def _bump(x: FloatArray, center: float | np.float32, width: float) -> FloatArray:
    return np.asarray(np.exp(-(((x - np.float32(center)) / np.float32(width)) ** 2)), np.float32)


def press_relief(canvas: Canvas, height: FloatArray, coverage: FloatArray) -> None:
    """Shade dents of ``height``, (H, W), within ``coverage``, (H, W)."""
    normals = canvas.measure_relief(height)
    light = canvas.shade(normals, np.ones(1, np.float32), ambient=0.3)[..., 0]
    canvas.paint(coverage * np.clip(1 - light, 0, 0.75), make_gray(0.02))
    canvas.paint(coverage * np.clip(light - 1, 0, 0.75), make_gray(1.0))


def paint_clear(canvas: Canvas, body: Turned, tint: Color, opacity: float, *, edge: float) -> None:
    """Paint a transparent wall; ``opacity`` is that of its middle, ``edge`` darkens its edges."""
    # Light crosses more glass at the edges, so they are darker and hide the ground.
    rim = np.abs(body.across) ** 3
    shade = 0.93 - edge * rim + 0.25 * body.across * np.float32(-canvas.light_across)
    color = np.asarray(np.clip(shade, 0.1, 1.2)[..., None] * tint, np.float32)
    canvas.paint(body.coverage, color, opacity + (0.95 - opacity) * rim)


def add_streaks(
    canvas: Canvas, rng: Generator, body: Turned, top: float, bottom: float, strength: float
) -> None:
    """Paint highlights along a smooth body between two heights; ``strength`` is about 1."""
    lean = 1.0 if canvas.light_across > 0 else -1.0
    fade = np.clip(np.minimum(canvas.v - top, bottom - canvas.v) / 0.06, 0, 1)
    for center, width, weight in ((0.55, 0.09, 0.85), (0.33, 0.04, 0.4), (-0.72, 0.07, 0.4)):
        x = (body.across - np.float32(center * lean)) / np.float32(width)
        streak = np.clip(1.6 - np.abs(x), 0, 1)
        canvas.brighten(np.float32(weight * strength * rng.uniform(0.8, 1.1)) * streak * fade)


def paint_board(canvas: Canvas, face: Face, color: Color) -> FloatArray:
    """Paint a flat face of board and return its coverage, (H, W)."""
    skin = canvas.fill(face.corners)
    canvas.paint(skin, canvas.shade(face.normals, color, ambient=0.52)[0, 0])
    # Worn edges catch the light.
    edge = canvas.outline(face.corners, width=0.014)
    canvas.paint(edge, np.minimum(color * np.float32(1.2), 1), 0.35)
    return skin
