"""Drawings of Styrofoam: fish boxes, meat trays and packing pieces with a bead texture."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.images.noise import look_up_beads
from bunri.scenes.canvas import Canvas
from bunri.scenes.colors import Color, make_gray, pick_color
from bunri.scenes.solids import Face, build_box, see_faces

_BEADS_PER_UNIT = 26
_CHUNK_BEADS = np.float32(20)


def _pick_foam(rng: Generator) -> Color:
    tint = np.array([1.0, rng.uniform(0.98, 1.0), rng.uniform(0.94, 1.0)], np.float32)
    return tint * np.float32(rng.uniform(0.88, 0.98))


def _make_grain(rng: Generator, s: FloatArray, t: FloatArray, *, contrast: float) -> FloatArray:
    # Brightness of foam: narrow gaps between beads, and beads that differ a little.
    beads = look_up_beads(rng, s, t)
    return np.asarray(1 - contrast * np.clip(1 - 3.2 * beads, 0, 1), np.float32)


def _paint_foam(canvas: Canvas, rng: Generator, face: Face, skin: FloatArray, color: Color) -> None:
    s, t = face.measure(canvas)
    sides = np.linalg.norm(face.corners[[1, 3]] - face.corners[0], axis=1)
    beads_s, beads_t = (_BEADS_PER_UNIT * sides).astype(np.float32)
    grain = _make_grain(rng, s * beads_s, t * beads_t, contrast=0.16)
    lit = canvas.shade(face.normals, color, ambient=0.55)
    canvas.paint(skin, grain[..., None] * lit)


def draw_foam_box(canvas: Canvas, rng: Generator) -> None:
    """Draw a fish box: thick walls, open or under its lid, sometimes taped."""
    width, depth, height = rng.uniform(1.25, 1.5), rng.uniform(0.85, 1.1), rng.uniform(0.4, 0.7)
    boxed = build_box(width, depth, height)
    names = list(boxed)
    yaw_deg = rng.uniform(-55, 55)
    inner = build_box(width - 0.22, depth - 0.22, height)
    inner["bottom"][:, 2] = 0.12
    seen = see_faces(canvas, [*boxed.values(), *inner.values()], yaw_deg=yaw_deg)
    outside = dict(zip(names, seen[:6], strict=True))
    inside = dict(zip(names, seen[6:], strict=True))
    color = _pick_foam(rng)
    for name in ("left", "right", "front", "back", "top"):
        face = outside[name]
        if face.is_front:
            _paint_foam(canvas, rng, face, canvas.fill(face.corners), color)
    if rng.random() < 0.6:
        _hollow_out(canvas, rng, inside, color)
    else:
        _close_lid(canvas, rng, outside)


def _hollow_out(canvas: Canvas, rng: Generator, inside: dict[str, Face], color: Color) -> None:
    opening = canvas.fill(inside["top"].corners)
    canvas.paint(opening, color * np.float32(0.62))
    for name in ("bottom", "back", "left", "right", "front"):
        face = inside[name]
        if face.is_front:
            continue
        skin = np.asarray(canvas.fill(face.corners) * opening, np.float32)
        _paint_foam(canvas, rng, face, skin, color * np.float32(0.86))
        _, t = face.measure(canvas)
        canvas.darken(skin * np.clip(0.1 + 0.35 * t, 0.1, 0.42))
    canvas.paint(canvas.outline(inside["top"].corners, width=0.02), make_gray(1.0), 0.6)
    if rng.random() < 0.4:  # the wet rest of what it held
        stain = canvas.noise(rng, 0.3, octaves=3)
        floor = canvas.fill(inside["bottom"].corners) * opening
        brown = pick_color(rng, hue=(0.0, 0.1), saturation=(0.4, 0.8), value=(0.3, 0.6))
        canvas.paint(floor * np.clip(2 * stain, 0, 0.5), brown)


def _close_lid(canvas: Canvas, rng: Generator, outside: dict[str, Face]) -> None:
    top = outside["top"]
    for name in ("left", "right", "front", "back"):
        face = outside[name]
        if face.is_front:
            gap = face.place([(0.0, 0.2), (1.0, 0.2)])
            canvas.paint(canvas.stroke(gap, width=0.025), make_gray(0.35), 0.7)
            canvas.paint(canvas.stroke(np.add(gap, (0, 0.02)), width=0.012), make_gray(1.0), 0.6)
    if rng.random() < 0.7:
        tint = pick_color(rng, saturation=(0.1, 0.8), value=(0.6, 0.95))
        tape = top.place([(0, 0.4), (1, 0.4), (1, 0.58), (0, 0.58)])
        canvas.paint(canvas.fill(tape), tint, 0.6)


def draw_meat_tray(canvas: Canvas, rng: Generator) -> None:
    """Draw a shallow foam tray from above: wide soft rim, sunk floor, film torn off."""
    half = rng.uniform(0.55, 0.75)
    color = _pick_foam(rng)
    if rng.random() < 0.25:
        color = pick_color(rng, hue=(0.1, 0.6), saturation=(0.1, 0.35), value=(0.8, 0.95))
    outer = _measure_round_box(canvas, 0.97, half, corner=0.3)
    skin = np.asarray(np.clip(-outer * canvas.unit_px + 0.5, 0, 1), np.float32)
    depth = np.clip((-outer - 0.1) / 0.2, 0, 1)
    height = -0.2 * depth * depth * (3 - 2 * depth)
    height -= 0.1 * np.clip((outer + 0.06) / 0.06, 0, 1) ** 2
    normals = canvas.measure_relief(height)
    lit = canvas.shade(normals, color, ambient=0.4)
    beads_per_unit = np.float32(_BEADS_PER_UNIT)
    grain = _make_grain(rng, beads_per_unit * canvas.u, beads_per_unit * canvas.v, contrast=0.12)
    canvas.paint(skin, grain[..., None] * lit)
    pattern = np.sin(22 * (canvas.u + canvas.v)) * np.sin(22 * (canvas.u - canvas.v))
    floor = np.asarray(skin * (depth >= 1), np.float32)
    canvas.darken(0.1 * floor * np.clip(-2 * pattern, 0, 1))
    if rng.random() < 0.4:
        stain = canvas.noise(rng, 0.5, octaves=3)
        red = pick_color(rng, hue=(-0.02, 0.04), saturation=(0.5, 0.8), value=(0.5, 0.75))
        canvas.paint(floor * np.clip(2 * stain - 0.2, 0, 0.5), red)


def _measure_round_box(
    canvas: Canvas, half_width: float, half_height: float, *, corner: float
) -> FloatArray:
    # Signed distance to a rectangle with round corners, below 0 inside.
    x = np.abs(canvas.u) - np.float32(half_width - corner)
    y = np.abs(canvas.v) - np.float32(half_height - corner)
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return np.asarray(outside + np.minimum(np.maximum(x, y), 0) - np.float32(corner), np.float32)


def draw_packing_block(canvas: Canvas, rng: Generator) -> None:
    """Draw a moulded packing piece: a slab with a step and recesses, corners broken off."""
    width, depth, height = rng.uniform(1.2, 1.5), rng.uniform(0.7, 1.0), rng.uniform(0.18, 0.28)
    low = build_box(width, depth, height)
    step = build_box(width * rng.uniform(0.3, 0.5), depth, height * rng.uniform(1.5, 2.4))
    sideways = (width - 2 * step["top"][1, 0]) / 2 * rng.choice([-1, 1])
    raised = {name: np.add(corners, (sideways, 0, height)) for name, corners in step.items()}
    shapes = [*low.values(), *raised.values()]
    faces = see_faces(canvas, shapes, yaw_deg=rng.uniform(-60, 60))
    color = _pick_foam(rng)
    for index, face in enumerate(faces):
        if face.is_front and index % 6 != 1:
            _paint_foam(canvas, rng, face, canvas.fill(face.corners), color)
            canvas.paint(canvas.outline(face.corners, width=0.015), make_gray(1.0), 0.35)
    top = faces[0]
    side = 0.08 if sideways > 0 else 0.58
    recess = top.place([(side, 0.25), (side + 0.34, 0.25), (side + 0.34, 0.75), (side, 0.75)])
    canvas.darken(0.4 * canvas.fill(recess))
    floor = canvas.fill(np.add(recess, (0, 0.06))) * canvas.fill(recess)
    _paint_foam(canvas, rng, top, floor, color * np.float32(0.8))


def draw_foam_chunk(canvas: Canvas, rng: Generator) -> None:
    """Draw a broken slab of foam: one or two clean edges, the rest torn along the beads."""
    half = rng.uniform(0.5, 0.74)
    box = _measure_round_box(canvas, 0.92, half, corner=0.04)
    lean = rng.uniform(-0.5, 0.5)
    torn = canvas.u + np.float32(lean) * canvas.v - np.float32(rng.uniform(0.2, 0.6))
    jag = canvas.noise(rng, 0.25, octaves=2)
    beads = look_up_beads(rng, _CHUNK_BEADS * canvas.u, _CHUNK_BEADS * canvas.v)
    torn += 0.2 * jag + 0.06 * (1 - np.minimum(2 * beads, 1))
    outline = np.maximum(box, torn)
    skin = np.asarray(np.clip(-outline * canvas.unit_px + 0.5, 0, 1), np.float32)
    side = np.roll(skin, (int(0.1 * canvas.unit_px), int(0.03 * canvas.unit_px)), (0, 1))
    color = _pick_foam(rng)
    grain = 1 - 0.14 * np.clip(1 - 3.2 * beads, 0, 1)
    body = np.asarray(grain[..., None] * color, np.float32)
    canvas.paint(side, body * np.float32(0.62))
    soft = 1 + 0.05 * canvas.noise(rng, 0.6)
    canvas.paint(skin, body * soft[..., None])
    rough = np.clip((torn + 0.12) / 0.12, 0, 1) * skin
    canvas.darken(0.3 * rough * (1 - np.minimum(2 * beads, 1)))
    canvas.brighten(0.25 * rough)
