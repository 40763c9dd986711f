"""Drawings of Plastic: PET bottles, cups, trays and household bottles."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.scenes.canvas import Canvas, Points, trace_curve, trace_ellipse
from bunri.scenes.colors import make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word, trace_text_lines
from bunri.scenes.materials import add_streaks, paint_clear
from bunri.scenes.solids import Turned, turn_profile


def draw_pet_bottle(canvas: Canvas, rng: Generator) -> None:
    """Draw a PET bottle: screw cap, waist ribs, clear wall, wrap-round label."""
    girth, roundness = rng.uniform(0.29, 0.35), rng.uniform(0.06, 0.2)
    profile = [(-0.86, 0.09), (-0.8, 0.1), (-0.42, girth), (-0.3, girth)]
    for v in np.arange(-0.22, 0.8, 0.13):
        profile += [(v, girth * rng.uniform(0.93, 0.96)), (v + 0.065, girth)]
    profile += [(0.88, girth), (0.96, 0.8 * girth)]
    sway = None
    if rng.random() < 0.5:  # squeezed
        bend = rng.uniform(0.03, 0.09) * rng.choice([-1, 1])
        sway = [bend * np.sin(4 * v) for v, _ in profile]
        profile = [(v, r * (1 - 0.25 * np.exp(-((v - 0.2) ** 2) / 0.04))) for v, r in profile]
    body = turn_profile(canvas, profile, roundness, sway=sway)
    tint = pick_color(rng, hue=(0.5, 0.62), saturation=(0.02, 0.22), value=(0.92, 1.0))
    paint_clear(canvas, body, tint, rng.uniform(0.26, 0.42), edge=0.35)
    ribs = np.sin(body.height * np.float32(2 * np.pi / 0.13))
    canvas.brighten(0.26 * np.clip(ribs, 0, 1) ** 2)
    canvas.darken(0.12 * np.clip(-ribs, 0, 1) ** 2)
    crumple = canvas.wrinkles(rng, 0.35)
    canvas.brighten(0.5 * np.clip(crumple - 0.55, 0, 1))
    if rng.random() < 0.7:
        _wrap_label(canvas, rng, body)
    add_streaks(canvas, rng, body, -0.5, 0.9, 0.9)
    _screw_cap(canvas, rng, sway[0] if sway else 0.0, roundness)


def _wrap_label(canvas: Canvas, rng: Generator, body: Turned) -> None:
    top, bottom = rng.uniform(-0.3, -0.2), rng.uniform(0.15, 0.35)
    label = body.cut_band(top, bottom)
    base = pick_color(rng, saturation=(0.4, 0.95), value=(0.5, 0.95))
    accent = pick_color(rng, saturation=(0.0, 0.5), value=(0.85, 1.0))
    light = 0.75 + 0.3 * np.cos(2 * (body.across - 0.4 * np.float32(canvas.light_across)))
    canvas.paint(label, light[..., None] * base, 0.93)
    middle = (top + bottom) / 2
    wave = np.abs(body.height - middle - 0.06 * np.sin(4 * body.across)) < 0.045
    canvas.paint(label * wave, accent, 0.9)
    word = str(rng.choice(["AQUA", "COLA", "TEA", "FRESH", "DEW"]))
    box = (-0.7, top + 0.06, 1.4, 0.15)
    print_word(canvas, word, box, accent, width=0.04, place=body.place, within=label)


def _screw_cap(canvas: Canvas, rng: Generator, shift: float, roundness: float) -> None:
    color = pick_color(rng, saturation=(0.0, 0.9), value=(0.6, 0.95))
    if rng.random() < 0.35:
        color = make_gray(rng.uniform(0.85, 0.97))
    for top, bottom, radius, dim in ((-0.83, -0.8, 0.135, 0.8), (-0.99, -0.86, 0.125, 1.0)):
        cap = turn_profile(
            canvas, [(top, radius), (bottom, radius)], roundness, sway=[shift, shift]
        )
        grip = 0.82 + 0.16 * np.sin(14 * np.arcsin(cap.across)) - 0.25 * cap.across**4
        canvas.paint(cap.coverage, grip[..., None] * color * dim)
    lid = canvas.ellipse((shift, -0.99), (0.12, 0.12 * roundness))
    canvas.paint(lid, np.minimum(color * 1.15, 1))


def draw_drink_cup(canvas: Canvas, rng: Generator) -> None:
    """Draw a clear takeaway cup with a dome lid and a straw, some drink left."""
    roundness = rng.uniform(0.18, 0.32)
    if rng.random() < 0.8:
        straw = pick_color(rng, saturation=(0.2, 0.9), value=(0.4, 0.95))
        tip = (rng.uniform(-0.3, 0.3), -1.05)
        canvas.paint(canvas.stroke([(0.02, -0.3), tip], width=0.07), straw * 0.8)
        canvas.paint(canvas.stroke([(0.03, -0.3), (tip[0] + 0.01, tip[1])], width=0.03), straw)
    body = turn_profile(canvas, [(-0.42, 0.46), (0.85, 0.32)], roundness)
    paint_clear(canvas, body, make_color(0.9, 0.93, 0.95), 0.3, edge=0.35)
    drink = pick_color(rng, hue=(0.02, 0.12), saturation=(0.3, 0.8), value=(0.2, 0.8))
    level = rng.uniform(0.1, 0.8)
    canvas.paint(body.cut_band(level, 1.4), drink, 0.75)
    if rng.random() < 0.6:
        mark = pick_color(rng, saturation=(0.5, 0.9), value=(0.25, 0.6))
        ring = body.place(trace_ellipse((0.0, 0.1), (0.5, 0.19)))
        canvas.paint(canvas.fill(ring) * body.coverage, mark, 0.9)
        box = (-0.32, 0.03, 0.64, 0.14)
        print_word(canvas, "CAFE", box, make_gray(0.95), width=0.025, place=body.place)
    add_streaks(canvas, rng, body, -0.4, 0.84, 1.0)
    dome = turn_profile(
        canvas, [(-0.76, 0.18), (-0.68, 0.36), (-0.48, 0.46), (-0.44, 0.5), (-0.4, 0.5)], roundness
    )
    paint_clear(canvas, dome, make_color(0.92, 0.95, 0.97), 0.4, edge=0.3)
    canvas.brighten(0.5 * dome.cut_band(-0.62, -0.56) + 0.35 * dome.cut_band(-0.47, -0.43))
    add_streaks(canvas, rng, dome, -0.7, -0.45, 0.9)


def draw_food_tray(canvas: Canvas, rng: Generator) -> None:
    """Draw a thin food tray from above: rolled rim, sunk floor, compartments."""
    half = rng.uniform(0.55, 0.78)
    is_clear = rng.random() < 0.35
    color = make_gray(float(rng.choice([0.1, 0.13, 0.9])))
    if rng.random() < 0.25:
        color = pick_color(rng, saturation=(0.4, 0.8), value=(0.5, 0.9))
    if is_clear:
        color = make_gray(0.97)
    walls = _trace_superellipse(1.0, half)
    bowl = _measure_bowl(canvas, rng, half)
    ribs = np.sin(np.float32(40) * canvas.u)
    normals = canvas.measure_relief(0.22 * bowl + 0.004 * ribs)
    skin = canvas.shade(normals, color, ambient=0.45, gloss=0.55, shininess=40)
    canvas.paint(canvas.fill(walls), skin, 0.42 if is_clear else 1.0)
    rim = canvas.fill(walls) - canvas.fill(0.93 * walls)
    canvas.paint(np.clip(rim, 0, 1), np.minimum(color * 1.1 + 0.08, 1), 0.6)
    canvas.brighten(0.8 * canvas.gleam(normals, 90))
    stain = np.clip(canvas.noise(rng, 0.5, octaves=3) - 0.15, 0, 1)
    sauce = pick_color(rng, hue=(0.0, 0.1), saturation=(0.6, 0.9), value=(0.4, 0.7))
    canvas.paint(canvas.fill(0.8 * walls) * np.clip(3 * stain, 0, 1), sauce, 0.45)


def _trace_superellipse(half_width: float, half_height: float) -> Points:
    """Return the outline of a rectangle with round corners as (64, 2) points."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = half_width * np.sign(cos) * np.abs(cos) ** 0.3
    return np.stack([x, half_height * np.sign(sin) * np.abs(sin) ** 0.3], axis=1)


def _measure_bowl(canvas: Canvas, rng: Generator, half: float) -> FloatArray:
    # Depth of one or two sunk compartments, 0 on the rim, -1 on the floor.
    u, v = canvas.u, canvas.v
    if rng.random() < 0.5:
        split = np.float32(rng.uniform(-0.2, 0.3))
        inside = np.minimum(0.88 - np.abs(u), np.abs(u - split) - 0.05)
    else:
        inside = 0.88 - np.abs(u)
    inside = np.minimum(inside, half - 0.12 - np.abs(v))
    part = np.clip(inside / 0.16, 0, 1)
    return np.asarray(-part * part * (3 - 2 * part), np.float32)


def draw_detergent_bottle(canvas: Canvas, rng: Generator) -> None:
    """Draw an opaque household bottle with a grip hole or a pump, and a label."""
    base = pick_color(rng, saturation=(0.1, 0.85), value=(0.6, 0.97))
    has_pump = rng.random() < 0.5
    half = rng.uniform(0.36, 0.48)
    neck = 0.0 if has_pump else -0.14
    outline = trace_curve(
        [(neck - 0.11, -0.7), (neck + 0.11, -0.7), (half * 0.75, -0.52), (half, -0.2),
         (half, 0.5), (half * 0.94, 0.95), (-half * 0.94, 0.95), (-half, 0.5), (-half, -0.2),
         (-half * 0.85, -0.5)]
    )  # fmt: skip
    body = canvas.fill(outline)
    across = np.clip(canvas.u / np.float32(half), -1, 1)
    normals = canvas.turn_normals(
        across**3, 0.2 * canvas.v, np.sqrt(np.clip(1.05 - across**6, 0.05, 1))
    )
    canvas.paint(body, canvas.shade(normals, base, ambient=0.45, gloss=0.5, shininess=30))
    _draw_closure(canvas, rng, neck, has_pump=has_pump)
    label = canvas.fill(np.add(_trace_superellipse(0.75 * half, 0.34), (0, 0.4))) * body
    canvas.paint(label, pick_color(rng, saturation=(0.0, 0.3), value=(0.85, 1.0)), 0.95)
    ink = pick_color(rng, saturation=(0.7, 1.0), value=(0.4, 0.8))
    print_word(canvas, "SOAP", (-0.55 * half, 0.18, 1.1 * half, 0.18), ink, width=0.045)
    lines = trace_text_lines(rng, 4, (-0.55 * half, 0.45, 1.1 * half, 0.22))
    canvas.paint(canvas.stroke(*lines, width=0.02), make_gray(0.35), 0.8)
    if not has_pump:
        hole = trace_ellipse((0.62 * half, -0.28), (0.08, 0.2), turn_deg=12)
        canvas.paint(canvas.fill(hole), base * 0.35)


def _draw_closure(canvas: Canvas, rng: Generator, neck: float, *, has_pump: bool) -> None:
    color = pick_color(rng, saturation=(0.0, 0.8), value=(0.75, 1.0))
    cap = turn_profile(canvas, [(-0.86, 0.13), (-0.68, 0.14)], 0.1, sway=[neck, neck])
    grip = 0.85 + 0.12 * np.sin(12 * np.arcsin(cap.across)) - 0.2 * cap.across**4
    canvas.paint(cap.coverage, grip[..., None] * color)
    if has_pump:
        canvas.paint(canvas.stroke([(0, -0.84), (0, -0.98)], width=0.08), color * 0.85)
        spout = [(0.1, -0.98), (-0.28, -1.0), (-0.36, -0.93)]
        canvas.paint(canvas.stroke(spout, width=0.1), color * 0.95)
