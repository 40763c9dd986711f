"""Drawings of Metal and Battery: cans, tins, foil and batteries."""

import numpy as np
from numpy.random import Generator

from bunri.images.noise import make_creases
from bunri.scenes.canvas import Canvas, trace_blob, trace_curve, trace_ellipse
from bunri.scenes.colors import Color, make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word
from bunri.scenes.materials import find_streak, make_steel, press_relief
from bunri.scenes.solids import Turned, build_box, see_box, turn_profile

_BRANDS = ("COLA", "TONIC", "MALT", "FIT", "SUN", "WAVE", "PEACH")


def draw_drink_can(canvas: Canvas, rng: Generator) -> None:
    """Draw a drink can seen a little from its lid, printed all round."""
    roundness = rng.uniform(0.25, 0.45)
    body = turn_profile(canvas, [(-0.8, 0.36), (-0.7, 0.45), (0.66, 0.45), (0.78, 0.37)], roundness)
    _print_can(canvas, rng, body)
    _draw_can_lid(canvas, rng, (0.0, -0.8), 0.36, roundness)


def draw_crushed_can(canvas: Canvas, rng: Generator) -> None:
    """Draw a drink can that was trodden on: bent, dented, creased."""
    roundness = rng.uniform(0.3, 0.5)
    bend = rng.uniform(0.1, 0.2) * rng.choice([-1, 1])
    body = turn_profile(
        canvas,
        [(-0.55, 0.37), (-0.46, 0.46), (-0.12, 0.5), (0.08, 0.36), (0.3, 0.52), (0.55, 0.38)],
        roundness,
        sway=[-0.4 * bend, -0.2 * bend, bend, 1.3 * bend, 0.4 * bend, -0.5 * bend],
    )
    _print_can(canvas, rng, body)
    warp = 0.12 * canvas.noise(rng, 0.4)
    dents = make_creases(rng, canvas.u, canvas.v, count=7, warp=warp)
    press_relief(canvas, 0.75 * dents, body.coverage)
    _draw_can_lid(canvas, rng, (-0.4 * bend, -0.55), 0.37, roundness)


def _print_can(canvas: Canvas, rng: Generator, body: Turned) -> None:
    base = pick_color(rng, saturation=(0.6, 0.95), value=(0.35, 0.85))
    if rng.random() < 0.25:
        base = make_gray(rng.uniform(0.65, 0.8))
    accent = pick_color(rng, saturation=(0.1, 0.9), value=(0.75, 1.0))
    top, bottom = body.profile[0, 0], body.profile[-1, 0]
    length = bottom - top
    color = np.empty((*canvas.shape, 3), np.float32)
    color[:] = base
    swirl = body.height + np.float32(rng.uniform(-0.2, 0.2)) * body.across
    lower = top + length * rng.uniform(0.6, 0.75)
    color[(swirl > lower) & (swirl < lower + rng.uniform(0.06, 0.25) * length)] = accent
    color[body.height < top + 0.1 * length] = 0.74
    color[body.height > bottom - 0.08 * length] = 0.7
    canvas.paint(body.coverage, color * make_steel(canvas, body)[..., None])
    word = str(rng.choice(_BRANDS))
    box = (-0.85, top + 0.26 * length, 1.7, 0.2 * length)
    print_word(
        canvas, word, box, accent, width=0.07, place=body.place, within=body.coverage, opacity=0.92
    )
    canvas.brighten(0.55 * find_streak(canvas, body, 0.5, 0.1))


def _draw_can_lid(
    canvas: Canvas, rng: Generator, center: tuple[float, float], radius: float, roundness: float
) -> None:
    sweep = 0.8 + 0.22 * np.sin(2.2 * canvas.u / radius + rng.uniform(0, 6))
    steel = np.asarray(np.repeat(sweep[..., None], 3, axis=2), np.float32)
    for share, hue in ((1.04, make_gray(0.9)), (0.95, make_gray(0.4)), (0.88, 0.82 * steel)):
        canvas.paint(canvas.disc(center, radius * share, roundness), hue)
    squash = np.array([radius, radius * roundness])
    at = np.array(center)
    if rng.random() < 0.5:
        mouth = trace_ellipse((0.0, 0.42), (0.3, 0.34)) * squash + at
        canvas.paint(canvas.fill(mouth), make_gray(0.06))
    tab = trace_ellipse((0.0, -0.2), (0.2, 0.4)) * squash + at
    canvas.paint(canvas.fill(np.add(tab, (0.015, 0.025))), make_gray(0.35), 0.7)
    canvas.paint(canvas.fill(tab), make_gray(0.88))
    hole = trace_ellipse((0.0, -0.3), (0.11, 0.17)) * squash + at
    canvas.paint(canvas.fill(hole), make_gray(0.38))


def draw_tin(canvas: Canvas, rng: Generator) -> None:
    """Draw a food tin with ribs, a label and its lid bent open or still on."""
    roundness = rng.uniform(0.4, 0.6)
    half = rng.uniform(0.26, 0.5)
    body = turn_profile(
        canvas, [(-half, 0.66), (-half + 0.05, 0.63), (half - 0.05, 0.63), (half, 0.66)], roundness
    )
    steel = make_steel(canvas, body)
    ribs = 1 + 0.16 * np.sin(body.height * np.float32(34))
    tint = make_color(0.82, 0.82, 0.8) * np.float32(rng.uniform(0.85, 1.0))
    canvas.paint(body.coverage, (steel * ribs)[..., None] * tint)
    if rng.random() < 0.7:
        label = body.cut_band(-0.62 * half, 0.7 * half)
        color = pick_color(rng, saturation=(0.5, 0.9), value=(0.5, 0.95))
        canvas.paint(label, steel[..., None] * color, 0.95)
        word = str(rng.choice(["TUNA", "CORN", "SPAM", "HAM"]))
        box = (-0.6, -0.3 * half, 1.2, 0.6 * half)
        print_word(canvas, word, box, make_gray(0.95), width=0.06, place=body.place, within=label)
    _draw_tin_top(canvas, (0.0, -half), 0.66, roundness, is_open=rng.random() < 0.6)


def _draw_tin_top(
    canvas: Canvas, center: tuple[float, float], radius: float, roundness: float, *, is_open: bool
) -> None:
    rings = [(1.0, 0.92), (0.94, 0.5)]
    if not is_open:
        rings += [(0.9, 0.78), (0.7, 0.6), (0.67, 0.82), (0.42, 0.66), (0.39, 0.8)]
    for share, gray in rings:
        canvas.paint(canvas.disc(center, radius * share, roundness), make_gray(gray))
    if not is_open:
        return
    depth = np.clip((canvas.v - center[1]) / (radius * roundness), -1, 1)
    inside = (0.3 + 0.3 * depth)[..., None] * make_color(1, 0.96, 0.9)
    canvas.paint(canvas.disc(center, radius * 0.92, roundness), inside)
    # The lid hangs on at the far side and stands up.
    lid = (center[0], center[1] - 0.26 * radius - 0.8 * radius * roundness)
    gleam = 0.72 + 0.25 * np.sin(5 * canvas.u + 3 * canvas.v)
    canvas.paint(canvas.ellipse(lid, (radius * 0.86, radius * 0.42)), make_gray(0.5))
    steel = np.asarray(np.repeat(gleam[..., None], 3, axis=2), np.float32)
    canvas.paint(canvas.ellipse(lid, (radius * 0.82, radius * 0.38)), steel)
    canvas.paint(canvas.ellipse(lid, (radius * 0.5, radius * 0.22)), steel * np.float32(0.86))


def draw_foil(canvas: Canvas, rng: Generator) -> None:
    """Draw a crumpled ball or sheet of aluminium foil."""
    outline = trace_blob(rng, (0.95, rng.uniform(0.6, 0.9)), roughness=0.16, corners=18)
    warp = 0.18 * canvas.noise(rng, 0.3, octaves=2)
    facets = make_creases(rng, canvas.u, canvas.v, count=16, warp=warp)
    normals = canvas.measure_relief(1.5 * facets)
    mirror = 0.5 + 0.45 * np.sin(7 * normals.x + 5 * normals.y + rng.uniform(0, 6))
    steel = np.asarray(mirror[..., None] * make_color(0.86, 0.87, 0.88), np.float32)
    canvas.paint(canvas.fill(outline), 0.25 + 0.7 * steel)
    canvas.brighten(0.9 * canvas.gleam(normals, 60))


def draw_cell(canvas: Canvas, rng: Generator) -> None:
    """Draw a round battery: copper or gold shoulder, bare nub, plus and minus."""
    girth = rng.choice([0.26, 0.3, 0.42])
    nub = turn_profile(canvas, [(-0.97, 0.3 * girth), (-0.8, 0.3 * girth)], 0.2)
    canvas.paint(nub.coverage, make_steel(canvas, nub)[..., None] * make_gray(0.9))
    body = turn_profile(
        canvas, [(-0.86, 0.88 * girth), (-0.83, girth), (0.9, girth), (0.93, 0.9 * girth)], 0.2
    )
    jacket, shoulder = _pick_battery_colors(rng)
    steel = make_steel(canvas, body)[..., None]
    canvas.paint(body.coverage, steel * jacket)
    canvas.paint(body.cut_band(-1.2, rng.uniform(-0.5, -0.3)), steel * shoulder)
    canvas.paint(body.cut_band(0.86, 1.2), steel * make_gray(0.85))
    canvas.paint(canvas.ellipse((0, -0.86), (0.86 * girth, 0.17 * girth)), make_gray(0.78))
    upper = turn_profile(canvas, [(-0.97, 0.3 * girth), (-0.88, 0.3 * girth)], 0.2)
    canvas.paint(upper.coverage, make_steel(canvas, upper)[..., None] * make_gray(0.95))
    canvas.paint(canvas.ellipse((0, -0.97), (0.28 * girth, 0.06 * girth)), make_gray(0.9))
    _mark_poles(canvas, rng, body, girth)


def _pick_battery_colors(rng: Generator) -> tuple[Color, Color]:
    copper = make_color(0.85, 0.52, 0.26)
    gold = make_color(0.9, 0.74, 0.36)
    pairs = [
        (make_gray(0.12), copper),
        (make_gray(0.14), gold),
        (pick_color(rng, value=(0.45, 0.75)), make_gray(0.85)),
        (gold, pick_color(rng, hue=(0.95, 1.02), value=(0.6, 0.8))),
        (make_color(0.1, 0.25, 0.55), copper),
    ]
    return pairs[int(rng.integers(len(pairs)))]


def _mark_poles(canvas: Canvas, rng: Generator, body: Turned, girth: float) -> None:
    mark = make_gray(0.95)
    pen = 0.16 * girth
    for word, box, width in (
        ("+", (-0.45, -0.7, 0.9, 0.9 * girth), 1.5 * pen),
        ("-", (-0.4, 0.6, 0.8, 0.6 * girth), 1.5 * pen),
        (str(rng.choice(["AA", "1.5V", "AAA"])), (-0.8, -0.1, 1.6, 0.9 * girth), pen),
    ):
        print_word(canvas, word, box, mark, width=width, place=body.place, within=body.coverage)
    canvas.brighten(0.45 * find_streak(canvas, body, 0.45, 0.12))


def draw_block_battery(canvas: Canvas, rng: Generator) -> None:
    """Draw a 9 V block with its two snap contacts."""
    jacket, shoulder = _pick_battery_colors(rng)
    faces = see_box(canvas, build_box(0.95, 0.55, 1.5), yaw_deg=rng.uniform(-50, 50))
    for name, face in faces.items():
        if not face.is_front:
            continue
        skin = canvas.fill(face.corners)
        _, t = face.measure(canvas)
        base = make_gray(0.35) if name == "top" else jacket
        canvas.paint(skin, canvas.shade(face.normals, base, ambient=0.55) + 0 * t[..., None])
        if name != "top":
            cap = np.asarray(skin * (t < 0.26), np.float32)
            canvas.paint(cap, canvas.shade(face.normals, shoulder, ambient=0.55) + 0 * t[..., None])
            if abs(face.corners[1, 0] - face.corners[0, 0]) < 0.3:
                continue
            box = (0.2, 0.4, 0.6, 0.3)
            print_word(canvas, "9V", box, make_gray(0.95), width=0.07, place=face.place)
            continue
        for s, share in ((0.28, 1.0), (0.72, 0.8)):
            stud = face.place(trace_ellipse((s, 0.5), (0.15 * share, 0.26 * share)))
            for lift, gray in ((0.0, 0.5), (0.07, 0.7), (0.1, 0.88)):
                canvas.paint(canvas.fill(np.add(stud, (0, -lift))), make_gray(gray))
        hole = face.place(trace_curve(trace_ellipse((0.28, 0.5), (0.07, 0.12)), steps=2))
        canvas.paint(canvas.fill(np.add(hole, (0, -0.1))), make_gray(0.4))
