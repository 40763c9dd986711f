"""Drawings of UNKNOWN: tangles, lumps and pieces of devices."""

import numpy as np
from numpy.random import Generator

from bunri.scenes.canvas import Canvas, trace_blob, trace_curve
from bunri.scenes.colors import Color, make_gray, pick_color


def draw_tangle(canvas: Canvas, rng: Generator) -> None:
    """Draw a tangle of cords and strips of several kinds about a lump."""
    _paint_lump(canvas, rng, 0.55)
    colors = [pick_color(rng, saturation=(0.0, 0.8), value=(0.15, 0.85)) for _ in range(4)]
    for _ in range(int(rng.integers(12, 18))):
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(0.5, 1.7, 6))
        reach = rng.uniform(0.2, 0.9, 6)
        knots = np.stack([reach * np.cos(turns), 0.85 * reach * np.sin(turns)], axis=1)
        cord = trace_curve(knots, closed=False)
        width = float(rng.choice([0.025, 0.04, 0.08]))
        color = colors[int(rng.integers(4))] * np.float32(rng.uniform(0.7, 1.1))
        canvas.paint(canvas.stroke(cord, width=1.25 * width), color * np.float32(0.5))
        canvas.paint(canvas.stroke(cord - 0.15 * width, width=0.75 * width), color)


def _paint_lump(canvas: Canvas, rng: Generator, size: float) -> None:
    outline = trace_blob(rng, (size, 0.85 * size), roughness=0.3, corners=15)
    first, second = (pick_color(rng, saturation=(0.05, 0.5), value=(0.2, 0.7)) for _ in range(2))
    mix = np.clip(0.5 + 1.6 * canvas.noise(rng, 0.3, octaves=4), 0, 1)
    color = first + (second - first) * mix[..., None]
    reach = np.hypot(canvas.u, canvas.v) / np.float32(size)
    height = 0.5 * size * np.sqrt(np.clip(1.3 - reach * reach, 0.05, 1))
    height += 0.3 * size * canvas.noise(rng, 0.35 * size, octaves=4)
    normals = canvas.measure_relief(height)
    lit = canvas.shade(normals, np.asarray(color, np.float32), ambient=0.35, gloss=0.12)
    canvas.paint(canvas.fill(outline), lit)


def draw_lump(canvas: Canvas, rng: Generator) -> None:
    """Draw a grubby lump of mixed stuff, patches of other colours sticking to it."""
    _paint_lump(canvas, rng, 0.92)
    tone = 0.8 + 0.5 * canvas.noise(rng, 0.11)
    for _ in range(int(rng.integers(4, 9))):
        at = rng.uniform(-0.5, 0.5, 2)
        radii = (rng.uniform(0.1, 0.25), rng.uniform(0.06, 0.2))
        scrap = trace_blob(rng, radii, roughness=0.4, corners=8) + at
        tint = pick_color(rng, saturation=(0.0, 0.7), value=(0.2, 0.9))
        canvas.darken(0.4 * canvas.fill(scrap + 0.025))
        canvas.paint(canvas.fill(scrap), tone[..., None] * tint, 0.85)


def draw_broken_part(canvas: Canvas, rng: Generator) -> None:
    """Draw a piece of some broken device: odd outline, holes, ribs, a hanging wire."""
    outline = trace_blob(rng, (0.8, rng.uniform(0.5, 0.7)), roughness=0.35, corners=9)[::8]
    base: Color = pick_color(rng, saturation=(0.0, 0.35), value=(0.2, 0.75))
    wire = trace_curve(rng.uniform(-0.95, 0.95, (5, 2)) * (0.95, 0.8), closed=False)
    canvas.paint(canvas.stroke(wire, width=0.05), pick_color(rng, value=(0.2, 0.8)))
    grime = 1 + 0.3 * canvas.noise(rng, 0.4, octaves=4)
    shape = canvas.fill(outline)
    canvas.paint(canvas.fill(np.add(outline, (0.02, 0.05))), base * np.float32(0.45))
    canvas.paint(shape, grime[..., None] * base)
    for offset in np.linspace(-0.5, 0.5, 5):
        rib = canvas.stroke([(offset, -0.9), (offset + 0.15, 0.9)], width=0.035) * shape
        canvas.paint(rib, base * np.float32(1.35), 0.7)
        shade = np.asarray(np.roll(rib, int(0.03 * canvas.unit_px), 1) * shape, np.float32)
        canvas.darken(np.float32(0.4) * shade)
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-0.45, 0.45), rng.uniform(-0.3, 0.3)
        radius = rng.uniform(0.05, 0.12)
        canvas.paint(canvas.ellipse((x, y), (radius, radius)) * shape, base * np.float32(1.3))
        canvas.paint(canvas.ellipse((x, y), (0.7 * radius, 0.7 * radius)) * shape, make_gray(0.08))
