"""Drawings of Glass: bottles, jars and shards."""

import numpy as np
from numpy.random import Generator

from bunri.scenes.canvas import Canvas, trace_blob
from bunri.scenes.colors import make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word, trace_text_lines
from bunri.scenes.materials import add_streaks, paint_clear
from bunri.scenes.solids import Turned, turn_profile

_GLASS_COLORS = (
    ((0.07, 0.33, 0.16), 0.8),  # soju green
    ((0.16, 0.36, 0.1), 0.82),
    ((0.3, 0.15, 0.05), 0.86),  # beer brown
    ((0.2, 0.1, 0.05), 0.9),
    ((0.72, 0.82, 0.8), 0.3),  # clear
)


def draw_glass_bottle(canvas: Canvas, rng: Generator) -> None:
    """Draw a soju or beer bottle: long neck, crown or screw cap, paper label."""
    tint, opacity = _GLASS_COLORS[int(rng.integers(len(_GLASS_COLORS)))]
    girth, shoulder = rng.uniform(0.26, 0.31), rng.uniform(-0.38, -0.2)
    body = turn_profile(
        canvas,
        [(-0.98, 0.085), (-0.93, 0.09), (-0.92, 0.11), (-0.87, 0.11), (-0.86, 0.085),
         (shoulder - 0.25, 0.11), (shoulder, girth), (0.92, girth), (0.96, 0.88 * girth)],
        rng.uniform(0.05, 0.16),
    )  # fmt: skip
    paint_clear(canvas, body, make_color(*tint), opacity, edge=0.5)
    liquid = np.asarray(body.coverage * (np.abs(body.across) > 0.8), np.float32)
    canvas.darken(0.25 * liquid)
    canvas.darken(0.35 * body.cut_band(0.86, 1.2))
    if rng.random() < 0.75:
        _stick_label(canvas, rng, body, shoulder + 0.2, rng.uniform(0.5, 0.7))
    add_streaks(canvas, rng, body, shoulder - 0.02, 0.9, 1.0)
    add_streaks(canvas, rng, body, -0.84, shoulder - 0.18, 0.6)
    if rng.random() < 0.5:
        cap = turn_profile(canvas, [(-1.0, 0.12), (-0.88, 0.13)], 0.15)
        color = pick_color(rng, saturation=(0.0, 0.8), value=(0.5, 0.85))
        ridges = 0.8 + 0.25 * np.sin(12 * np.arcsin(cap.across))
        canvas.paint(cap.coverage, ridges[..., None] * color)


def _stick_label(canvas: Canvas, rng: Generator, body: Turned, top: float, bottom: float) -> None:
    label = body.cut_band(top, bottom)
    paper = pick_color(rng, saturation=(0.0, 0.25), value=(0.85, 0.97))
    ink = pick_color(rng, saturation=(0.6, 0.95), value=(0.3, 0.7))
    light = np.clip(1 - 0.55 * np.abs(body.across) ** 3, 0, 1)[..., None]
    canvas.paint(label, light * paper, 0.97)
    stripe = rng.uniform(0.08, 0.3) * (bottom - top)
    canvas.paint(body.cut_band(top, top + stripe), light * ink)
    word = str(rng.choice(["SOJU", "MALT", "JUICE", "WINE", "HONEY", "SAUCE"]))
    box = (-0.8, top + 1.4 * stripe, 1.6, 0.3 * (bottom - top))
    print_word(canvas, word, box, ink, width=0.035, place=body.place, within=label)
    lines = trace_text_lines(
        rng, 3, (-0.9, top + 0.7 * (bottom - top), 1.8, 0.25 * (bottom - top)), body.place
    )
    canvas.paint(canvas.stroke(*lines, width=0.016) * label, make_gray(0.3), 0.7)


def draw_jar(canvas: Canvas, rng: Generator) -> None:
    """Draw a squat clear or brown jar with a metal screw lid or an open mouth."""
    roundness = rng.uniform(0.22, 0.36)
    mouth, girth = rng.uniform(0.4, 0.5), rng.uniform(0.56, 0.66)
    body = turn_profile(
        canvas,
        [(-0.66, mouth), (-0.5, mouth), (-0.3, girth), (0.6, girth), (0.72, 0.86 * girth)],
        roundness,
    )
    tint, opacity = _GLASS_COLORS[int(rng.choice([3, 4, 4]))]
    paint_clear(canvas, body, make_color(*tint), opacity, edge=0.5)
    canvas.darken(0.3 * canvas.disc((0, 0.72), 0.8 * girth, roundness))
    if rng.random() < 0.6:
        _stick_label(canvas, rng, body, -0.25, rng.uniform(0.2, 0.4))
    add_streaks(canvas, rng, body, -0.3, 0.62, 1.1)
    if rng.random() < 0.5:
        radius = mouth + 0.05
        lid = turn_profile(canvas, [(-0.74, radius), (-0.56, radius)], roundness)
        color = pick_color(rng, saturation=(0.0, 0.8), value=(0.5, 0.85))
        ridges = 0.75 + 0.2 * np.sin(40 * np.arcsin(lid.across)) - 0.2 * np.abs(lid.across)
        canvas.paint(lid.coverage, ridges[..., None] * color)
        canvas.paint(canvas.disc((0, -0.74), radius, roundness), color * 0.95)
        inner = canvas.disc((0, -0.74), 0.85 * radius, roundness)
        canvas.paint(inner, np.minimum(color * 1.15, 1))
        return
    for share, gray, strength in ((1.02, 0.95, 0.7), (0.9, 0.3, 0.5)):
        canvas.paint(canvas.disc((0, -0.66), mouth * share, roundness), make_gray(gray), strength)


def draw_glass_shards(canvas: Canvas, rng: Generator) -> None:
    """Draw the jagged lower half of a broken bottle with splinters beside it."""
    tint, opacity = _GLASS_COLORS[int(rng.integers(len(_GLASS_COLORS)))]
    body = turn_profile(canvas, [(-0.6, 0.36), (0.72, 0.38), (0.8, 0.33)], rng.uniform(0.2, 0.35))
    edge = [(0.45, 1.2), (-0.45, 1.2)]
    edge += [(float(u), rng.uniform(-0.5, 0.15)) for u in np.linspace(-0.45, 0.45, 9)]
    keep = canvas.fill(edge)
    color = make_color(*tint)
    rim = np.abs(body.across) ** 3
    shade = np.asarray((0.9 - 0.4 * rim)[..., None] * color, np.float32)
    canvas.paint(
        body.coverage * keep, shade, np.float32(opacity) + np.float32(0.95 - opacity) * rim
    )
    brink = canvas.stroke(edge[2:], width=0.03) * body.coverage
    canvas.paint(brink, np.minimum(color + 0.35, 1), 0.75)
    add_streaks(canvas, rng, body, -0.2, 0.7, 1.0)
    for _ in range(int(rng.integers(2, 5))):
        at = np.array([rng.choice([-1, 1]) * rng.uniform(0.5, 0.8), rng.uniform(-0.6, 0.7)])
        shard = trace_blob(rng, (0.16, 0.1), roughness=0.5, corners=5)[::4] + at
        canvas.paint(canvas.fill(shard), np.minimum(color * 1.2, 1), max(opacity, 0.5))
        canvas.paint(canvas.stroke(shard[2:5], width=0.02), np.minimum(color + 0.4, 1), 0.7)
