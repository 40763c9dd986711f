"""Drawings of Paper: cardboard boxes, sheets and newspapers."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.images.noise import make_creases, make_noise
from bunri.scenes.canvas import Canvas, Points
from bunri.scenes.colors import Color, make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word, trace_text_lines
from bunri.scenes.materials import paint_board
from bunri.scenes.solids import Corners, Face, build_box, see_box, see_faces

_KRAFT = ((0.66, 0.5, 0.34), (0.72, 0.57, 0.4), (0.58, 0.43, 0.29), (0.76, 0.63, 0.47))


def _pick_kraft(rng: Generator) -> Color:
    color = np.array(_KRAFT[int(rng.integers(len(_KRAFT)))], np.float32)
    return color * np.float32(rng.uniform(0.9, 1.1))


def draw_closed_box(canvas: Canvas, rng: Generator) -> None:
    """Draw a taped cardboard box with a shipping label and printed marks."""
    width, depth, height = rng.uniform(1.2, 1.5), rng.uniform(0.8, 1.2), rng.uniform(0.35, 0.9)
    boxed = build_box(width, depth, height)
    faces = see_box(canvas, boxed, yaw_deg=rng.uniform(-60, 60))
    color = _pick_kraft(rng)
    for name in ("left", "right", "front", "back", "top"):
        face = faces[name]
        if not face.is_front:
            continue
        paint_board(canvas, face, color)
        if name == "top":
            _tape_lid(canvas, rng, face)
        elif abs(face.corners[1, 0] - face.corners[0, 0]) > 0.45:
            _print_box_side(canvas, rng, face, color)
    canvas.mottle(1 + 0.07 * canvas.noise(rng, 0.4, octaves=4))


def _tape_lid(canvas: Canvas, rng: Generator, face: Face) -> None:
    seam = face.place([(0.0, 0.5), (1.0, 0.5)])
    canvas.paint(canvas.stroke(seam, width=0.012), make_gray(0.15), 0.7)
    tape = face.place([(0, 0.43), (1, 0.43), (1, 0.57), (0, 0.57)])
    tint = make_color(0.82, 0.7, 0.5) if rng.random() < 0.6 else make_gray(0.93)
    canvas.paint(canvas.fill(tape), tint, 0.55)
    left, top = rng.uniform(0.08, 0.55), rng.choice([0.08, 0.62])
    label = face.place(
        [(left, top), (left + 0.36, top), (left + 0.36, top + 0.3), (left, top + 0.3)]
    )
    canvas.paint(canvas.fill(label), make_gray(0.94))
    lines = trace_text_lines(rng, 4, (left + 0.03, top + 0.02, 0.3, 0.15), face.place)
    canvas.paint(canvas.stroke(*lines, width=0.014), make_gray(0.2))
    bars = [
        face.place([(left + 0.04 + x, top + 0.19), (left + 0.04 + x, top + 0.27)])
        for x in np.cumsum(rng.uniform(0.008, 0.022, 18))
    ]
    canvas.paint(canvas.stroke(*bars, width=0.01), make_gray(0.1))


def _print_box_side(canvas: Canvas, rng: Generator, face: Face, color: Color) -> None:
    ink = color * np.float32(0.35)
    if rng.random() < 0.5:
        ink = pick_color(rng, saturation=(0.6, 0.9), value=(0.3, 0.6))
    word = str(rng.choice(["FRAGILE", "APPLE", "CARGO", "MANGO", "ORANGE", "TEA", "BOOKS"]))
    box = (0.15, 0.3, 0.7, 0.28)
    print_word(canvas, word, box, ink, width=0.035, place=face.place, opacity=0.85)
    if rng.random() < 0.5:
        arrow = [(0.85, 0.9), (0.85, 0.7), (0.81, 0.77), (0.85, 0.7), (0.89, 0.77)]
        canvas.paint(canvas.stroke(face.place(arrow), width=0.02), ink, 0.85)


def draw_open_box(canvas: Canvas, rng: Generator) -> None:
    """Draw an open cardboard box: four flaps out, the inside seen."""
    width, depth, height = rng.uniform(0.95, 1.15), rng.uniform(0.75, 0.95), rng.uniform(0.4, 0.7)
    boxed = build_box(width, depth, height)
    shapes = [boxed[n] for n in ("bottom", "back", "left", "right", "front")]
    shapes += _hinge_flaps(rng, boxed, 0.42 * depth)
    faces = see_faces(canvas, shapes, yaw_deg=rng.uniform(-40, 40))
    color = _pick_kraft(rng)
    walls, flaps = faces[:5], faces[5:]
    for face in walls:
        if not face.is_front:  # the inside of the far walls and of the bottom
            inner = paint_board(canvas, face, color * np.float32(0.82))
            _, t = face.measure(canvas)
            canvas.darken(inner * (0.5 if face is walls[0] else 0.12 + 0.38 * np.clip(t, 0, 1)))
    for wall, flap in sorted(zip(walls[1:], flaps, strict=True), key=lambda f: f[0].nearness):
        if wall.is_front:
            paint_board(canvas, wall, color)
            _print_box_side(canvas, rng, wall, color)
        paint_board(canvas, flap, color * np.float32(1.05 if flap.is_front else 0.9))
    canvas.mottle(1 + 0.07 * canvas.noise(rng, 0.4, octaves=4))


def _hinge_flaps(rng: Generator, boxed: dict[str, Corners], length: float) -> list[Corners]:
    flaps = []
    for name in ("back", "left", "right", "front"):
        first, second, third, _ = boxed[name]
        outward = np.cross(second - first, third - second)
        outward /= -np.linalg.norm(outward)
        rise = np.deg2rad(rng.uniform(-35, 40))
        reach = length * (np.cos(rise) * outward + np.sin(rise) * np.array([0.0, 0.0, 1.0]))
        flaps.append(np.array([first + reach, second + reach, second, first]))
    return flaps


def draw_text_sheet(canvas: Canvas, rng: Generator) -> None:
    """Draw a sheet of printed paper, creased and curled."""
    half = rng.uniform(0.62, 0.72)
    outline = np.array([(-half, -0.92), (half, -0.92), (half, 0.92), (-half, 0.92)])
    outline += rng.uniform(-0.05, 0.05, outline.shape)
    sheet = canvas.fill(outline)
    paper = make_gray(0.93) * np.array([1, rng.uniform(0.97, 1), rng.uniform(0.92, 1)], np.float32)
    _paint_creased(canvas, rng, sheet, paper, strength=rng.uniform(0.15, 0.5))
    _print_columns(canvas, rng, half, count=1)
    if rng.random() < 0.5:
        ink = pick_color(rng, saturation=(0.5, 0.9), value=(0.4, 0.8))
        box = [(-0.8 * half, -0.82), (0.1, -0.82), (0.1, -0.72), (-0.8 * half, -0.72)]
        canvas.paint(canvas.fill(box), ink, 0.9)
    if rng.random() < 0.5:
        _fold_corner(canvas, rng, outline)


def _paint_creased(
    canvas: Canvas, rng: Generator, sheet: FloatArray, paper: Color, *, strength: float
) -> None:
    warp = 0.1 * canvas.noise(rng, 0.5)
    height = strength * make_creases(rng, canvas.u, canvas.v, count=6, warp=warp)
    height += 0.06 * canvas.noise(rng, 0.9, octaves=2)
    grain = 1 + 0.025 * make_noise(rng, canvas.shape, 3.0, octaves=2)
    lit = canvas.shade(canvas.measure_relief(height), paper, ambient=0.45)
    canvas.paint(sheet, lit * grain[..., None])


def _print_columns(canvas: Canvas, rng: Generator, half: float, *, count: int) -> None:
    width = 1.7 * half / count
    for column in range(count):
        left = -0.85 * half + column * width
        lines = trace_text_lines(rng, 26, (left, -0.62, 0.92 * width if count > 1 else width, 1.42))
        canvas.paint(canvas.stroke(*lines, width=0.016), make_gray(0.2), 0.7)


def _fold_corner(canvas: Canvas, rng: Generator, outline: Points) -> None:
    corner, before, after = outline[2], outline[1], outline[3]
    reach = rng.uniform(0.25, 0.45)
    first = corner + (before - corner) * reach * 0.7
    second = corner + (after - corner) * reach
    tip = corner + 1.7 * ((first + second) / 2 - corner)
    canvas.darken(0.35 * canvas.fill([first, second, tip + 0.05]))
    canvas.paint(canvas.fill([first, second, tip]), make_gray(0.86))


def draw_newspaper(canvas: Canvas, rng: Generator) -> None:
    """Draw a folded newspaper: masthead, columns, a grey picture, a fold across."""
    half = rng.uniform(0.6, 0.7)
    shift = rng.uniform(0.02, 0.04)
    gray = make_gray(rng.uniform(0.76, 0.84)) * make_color(1, 0.98, 0.93)
    for offset, dim in ((2 * shift, 0.82), (shift, 0.9), (0.0, 1.0)):
        outline = np.array([(-half, -0.88), (half, -0.88), (half, 0.88), (-half, 0.88)]) + offset
        outline += rng.uniform(-0.02, 0.02, outline.shape)
        canvas.paint(canvas.fill(outline), gray * np.float32(dim))
    _paint_creased(canvas, rng, canvas.fill(outline), gray, strength=0.12)
    word = str(rng.choice(["NEWS", "TIMES", "DAILY", "PRESS"]))
    box = (-0.6 * half, -0.82, 1.2 * half, 0.15)
    print_word(canvas, word, box, make_gray(0.1), width=0.045, opacity=0.9)
    rule = canvas.stroke([(-0.9 * half, -0.66), (0.9 * half, -0.66)], width=0.012)
    canvas.paint(rule, make_gray(0.15))
    _print_columns(canvas, rng, half, count=4)
    _print_picture(canvas, rng, half, gray)
    fold = np.abs(canvas.v - 0.02) < 0.2
    ramp = np.where(canvas.v < 0.02, 0.25 * (1 - (0.02 - canvas.v) / 0.2), 0)
    canvas.darken(ramp * fold)
    canvas.brighten(0.2 * (np.abs(canvas.v - 0.03) < 0.015))


def _print_picture(canvas: Canvas, rng: Generator, half: float, paper: Color) -> None:
    left = rng.uniform(-0.85, 0.0) * half
    frame = np.array([(left, -0.6), (left + 0.85 * half, -0.6),
                      (left + 0.85 * half, -0.1), (left, -0.1)])  # fmt: skip
    canvas.paint(canvas.fill(frame), paper)
    tone = 0.45 + 0.3 * canvas.noise(rng, 0.3, octaves=3)
    picture = np.asarray(np.repeat(tone[..., None], 3, axis=2), np.float32)
    canvas.paint(canvas.fill(frame * 0.96 + frame.mean(axis=0) * 0.04), picture)


def draw_flat_cardboard(canvas: Canvas, rng: Generator) -> None:
    """Draw a torn, flattened piece of corrugated cardboard with fold lines."""
    half = rng.uniform(0.5, 0.7)
    left = [(-0.92, v) for v in np.linspace(half, -half, 9)]
    outline = np.array([(-0.92, -half), (0.2, -half), (0.22, -0.8 * half), (0.92, -0.85 * half),
                        (0.9, half), *left])  # fmt: skip
    outline[5:] += rng.uniform(-0.07, 0.07, (9, 2))
    color = _pick_kraft(rng)
    sheet = canvas.fill(outline)
    canvas.paint(canvas.fill(np.add(outline, (0.015, 0.03))), color * np.float32(0.55))
    flutes = 0.006 * np.sin(canvas.u * np.float32(62))
    height = flutes + 0.05 * canvas.noise(rng, 0.8, octaves=3)
    grain = 1 + 0.06 * canvas.noise(rng, 0.3, octaves=4)
    lit = canvas.shade(canvas.measure_relief(height), color, ambient=0.55)
    canvas.paint(sheet, lit * grain[..., None])
    torn = canvas.stroke(outline[5:], width=0.06) * sheet
    canvas.paint(torn, np.minimum(color * np.float32(1.25), 1), 0.8)
    for v in (-0.35 * half, 0.55 * half):
        canvas.darken(0.35 * canvas.stroke([(-1, v), (1, v)], width=0.025))
        canvas.brighten(0.18 * canvas.stroke([(-1, v + 0.025), (1, v + 0.025)], width=0.02))
    tape = [(0.25, -half), (0.45, -half), (0.42, half), (0.23, half)]
    canvas.paint(canvas.fill(tape) * sheet, make_color(0.85, 0.74, 0.55), 0.5)
