"""Drawings of General trash: soiled and mixed things."""

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.images.noise import make_creases, make_noise
from bunri.scenes.canvas import Canvas, Points, trace_blob, trace_curve, trace_ellipse
from bunri.scenes.colors import make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word, trace_text_lines
from bunri.scenes.solids import Turned, turn_profile


def draw_cup_noodle(canvas: Canvas, rng: Generator) -> None:
    """Draw an eaten cup of noodles: printed tub, foil lid peeled back, red broth."""
    roundness = rng.uniform(0.42, 0.6)
    tub = turn_profile(canvas, [(-0.42, 0.78), (-0.36, 0.74), (0.62, 0.52), (0.66, 0.5)], roundness)
    light = 0.78 + 0.25 * np.cos(1.8 * (tub.across - 0.5 * np.float32(canvas.light_across)))
    base = pick_color(rng, hue=(-0.04, 0.14), saturation=(0.7, 0.95), value=(0.6, 0.9))
    if rng.random() < 0.3:
        base = make_gray(0.93)
    band = pick_color(rng, hue=(-0.05, 0.2), saturation=(0.5, 1.0), value=(0.3, 0.98))
    canvas.paint(tub.coverage, light[..., None] * base)
    canvas.paint(tub.cut_band(0.34, 0.5), light[..., None] * band)
    _print_tub(canvas, rng, tub)
    rim = (0.78, 0.78 * roundness)
    for share, gray in ((1.03, 0.95), (0.95, 0.8)):
        canvas.paint(canvas.ellipse((0, -0.42), (rim[0] * share, rim[1] * share)), make_gray(gray))
    _fill_broth(canvas, rng, (0.88 * rim[0], 0.86 * rim[1]))
    if rng.random() < 0.75:
        _peel_lid(canvas, rng, rim)


def _print_tub(canvas: Canvas, rng: Generator, tub: Turned) -> None:
    panel = canvas.fill(tub.place(trace_ellipse((rng.uniform(-0.4, 0.4), 0.02), (0.7, 0.22))))
    canvas.paint(panel * tub.coverage, make_color(1.0, 0.93, 0.75))
    word = str(rng.choice(["RAMEN", "UDON", "SPICY", "NOODLE"]))
    ink = pick_color(rng, hue=(-0.03, 0.05), saturation=(0.8, 1.0), value=(0.4, 0.75))
    box = (-0.55, -0.1, 1.1, 0.24)
    print_word(canvas, word, box, ink, width=0.06, place=tub.place, within=tub.coverage)


def _fill_broth(canvas: Canvas, rng: Generator, radii: tuple[float, float]) -> None:
    inside = canvas.ellipse((0, -0.41), radii)
    canvas.paint(inside, make_gray(0.72))
    level = canvas.ellipse((0, -0.36), (0.92 * radii[0], 0.86 * radii[1])) * inside
    broth = pick_color(rng, hue=(0.01, 0.08), saturation=(0.75, 0.95), value=(0.45, 0.75))
    soup = 1 + 0.25 * canvas.noise(rng, 0.25, octaves=3)
    canvas.paint(level, soup[..., None] * broth)
    strands = []
    for _ in range(int(rng.integers(4, 14))):
        at = rng.uniform(-0.6, 0.6, 2) * radii + (0, -0.36)
        strands.append(trace_curve(at + rng.uniform(-0.2, 0.2, (4, 2)) * (1, 0.6), closed=False))
    canvas.paint(canvas.stroke(*strands, width=0.035) * level, make_color(0.92, 0.78, 0.48))
    fat = rng.uniform(-0.55, 0.55, (9, 2)) * radii + (0, -0.36)
    for spot in fat:
        canvas.paint(canvas.ellipse((spot[0], spot[1]), (0.05, 0.03)) * level, make_gray(1), 0.22)


def _peel_lid(canvas: Canvas, rng: Generator, rim: tuple[float, float]) -> None:
    side = rng.choice([-1, 1])
    angle = np.linspace(-1.0, 1.0, 13) * 0.95
    hinge = np.stack([side * rim[0] * np.cos(angle), -0.42 + rim[1] * np.sin(angle)], axis=1)
    curl = np.stack([side * (0.12 + 0.3 * angle**2), -0.62 + 0.7 * rim[1] * np.sin(angle)], axis=1)
    lid = np.concatenate([hinge, np.add(curl[::-1], (0, -0.05))])
    gloss = 0.7 + 0.22 * np.sin(9 * canvas.u + 4 * canvas.v + rng.uniform(0, 6))
    foil = np.asarray(np.repeat(gloss[..., None], 3, axis=2), np.float32)
    canvas.darken(0.3 * canvas.fill(np.add(lid, (-0.06 * side, 0.06))))
    canvas.paint(canvas.fill(lid), foil)
    canvas.paint(canvas.stroke(np.add(curl, (0, -0.05)), width=0.03), make_gray(0.95))


def draw_snack_wrapper(canvas: Canvas, rng: Generator) -> None:
    """Draw a torn foil snack wrapper: printed outside, silver inside, crimped ends."""
    half = rng.uniform(0.42, 0.6)
    teeth = np.linspace(-half, half, 19)
    bottom = np.stack([teeth[::-1], 0.92 - 0.035 * (np.arange(19) % 2)], axis=1)
    torn = np.stack([teeth, -0.6 + rng.uniform(-0.14, 0.14, 19)], axis=1)
    waist = half * rng.uniform(0.85, 0.95)
    outline = np.concatenate([torn, [(waist, 0.1)], bottom, [(-waist, 0.1)]])
    wrinkles = canvas.wrinkles(rng, 0.5, octaves=3)
    warp = 0.15 * canvas.noise(rng, 0.4)
    height = 0.12 * wrinkles + 0.5 * make_creases(rng, canvas.u, canvas.v, count=9, warp=warp)
    normals = canvas.measure_relief(height)
    base = pick_color(rng, saturation=(0.75, 1.0), value=(0.45, 0.9))
    shape = canvas.fill(outline)
    inner = canvas.fill(np.concatenate([np.add(torn, (0, -0.12)), [(half, -0.3), (-half, -0.3)]]))
    canvas.paint(inner, canvas.shade(normals, make_gray(0.72), ambient=0.2, gloss=0.7))
    canvas.paint(shape, canvas.shade(normals, base, ambient=0.35, gloss=0.45, shininess=35))
    _print_wrapper(canvas, rng, shape, half)
    canvas.darken(0.25 * np.clip(1 - canvas.shade(normals, make_gray(1))[..., 0], 0, 1))
    canvas.brighten(0.5 * canvas.gleam(normals, 50))
    crimp = np.asarray(shape * (canvas.v > 0.82), np.float32)
    canvas.brighten(0.4 * crimp * np.clip(np.sin(90 * canvas.u), 0, 1))


def _print_wrapper(canvas: Canvas, rng: Generator, shape: FloatArray, half: float) -> None:
    accent = pick_color(rng, saturation=(0.6, 1.0), value=(0.85, 1.0))
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    burst = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    burst *= (0.8 * half * (1 - 0.25 * (np.arange(24) % 2)))[:, None]
    canvas.paint(canvas.fill(np.add(burst, (0, 0.28))) * shape, accent)
    word = str(rng.choice(["CHIPS", "CRISP", "CHOCO", "SNACK", "CORN"]))
    box = (-0.78 * half, -0.32, 1.56 * half, 0.3)
    for width, gray in ((0.09, 0.1), (0.06, 0.98)):
        print_word(canvas, word, box, make_gray(gray), width=width, within=shape)
    for at in ((-0.08, 0.22), (0.1, 0.34)):
        chip = trace_ellipse(at, (0.2 * half + 0.05, 0.12), turn_deg=float(rng.uniform(-40, 40)))
        canvas.paint(canvas.fill(chip) * shape, make_color(0.85, 0.6, 0.2))
    lines = trace_text_lines(rng, 3, (-0.7 * half, 0.62, 1.4 * half, 0.16))
    canvas.paint(canvas.stroke(*lines, width=0.018) * shape, make_gray(0.95), 0.8)


def draw_tissue(canvas: Canvas, rng: Generator) -> None:
    """Draw a crumpled paper tissue: soft white lump, many folds, sometimes a stain."""
    outline = trace_blob(rng, (0.88, rng.uniform(0.65, 0.85)), roughness=0.2, corners=16)
    warp = 0.25 * canvas.noise(rng, 0.35, octaves=2)
    reach = np.hypot(canvas.u, canvas.v)
    height = 0.35 * np.sqrt(np.clip(1.15 - reach * reach, 0.05, 1))
    height += 1.3 * make_creases(rng, canvas.u, canvas.v, count=14, warp=warp)
    height += 0.1 * canvas.wrinkles(rng, 0.4, octaves=2)
    color = make_gray(0.93) * np.array([1, rng.uniform(0.97, 1), rng.uniform(0.94, 1)], np.float32)
    normals = canvas.measure_relief(height)
    fiber = 1 + 0.03 * make_noise(rng, canvas.shape, 2.5, octaves=2)
    lit = np.minimum(canvas.shade(normals, color, ambient=0.7), 1.02)
    shape = canvas.fill(outline)
    canvas.paint(shape, fiber[..., None] * lit)
    if rng.random() < 0.45:
        stain = np.clip(canvas.noise(rng, 0.6, octaves=3), 0, 1)
        brown = pick_color(rng, hue=(0.0, 0.12), saturation=(0.4, 0.8), value=(0.4, 0.75))
        canvas.paint(shape * np.minimum(1.4 * stain, 0.6), brown)


def draw_toothbrush(canvas: Canvas, rng: Generator) -> None:
    """Draw a worn toothbrush: long curved handle with a grip, white bristles."""
    bend = rng.uniform(-0.12, 0.12)
    spine = trace_curve(
        [(0, -0.98), (0, -0.7), (0.3 * bend, -0.35), (bend, 0.2), (0.5 * bend, 0.98)], closed=False
    )
    widths = np.interp(spine[:, 1], [-1, -0.68, -0.5, -0.1, 0.3, 0.9, 1],
                       [0.075, 0.08, 0.035, 0.045, 0.085, 0.065, 0.03])  # fmt: skip
    handle = _widen_line(spine, widths)
    color = pick_color(rng, saturation=(0.3, 0.9), value=(0.55, 0.95))
    canvas.paint(canvas.fill(handle), color)
    grip = canvas.fill(_widen_line(spine[14:26], 0.55 * widths[14:26]))
    canvas.paint(grip, pick_color(rng, saturation=(0.0, 0.6), value=(0.8, 1.0)))
    shine = np.add(spine, (-0.03 if canvas.light_across < 0 else 0.03, 0))
    canvas.paint(canvas.stroke(shine[6:], width=0.018) * canvas.fill(handle), make_gray(1), 0.6)
    for row in np.linspace(-0.95, -0.68, 7):
        for column in (-0.045, 0.0, 0.045):
            tuft = (column + rng.uniform(-0.01, 0.01), row + rng.uniform(-0.01, 0.01))
            tip = (tuft[0] + rng.uniform(0.02, 0.09), tuft[1] + rng.uniform(-0.02, 0.02))
            gray = rng.uniform(0.8, 0.98)
            canvas.paint(canvas.stroke([tuft, tip], width=0.035), make_gray(gray))


def _widen_line(spine: Points, widths: npt.NDArray[np.float64]) -> Points:
    along = np.gradient(spine, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    shift = across * widths[:, None]
    return np.concatenate([spine + shift, (spine - shift)[::-1]])


def draw_face_mask(canvas: Canvas, rng: Generator) -> None:
    """Draw a used face mask: pleated rectangle, nose wire, two ear loops."""
    color = pick_color(rng, hue=(0.48, 0.6), saturation=(0.05, 0.4), value=(0.8, 0.97))
    if rng.random() < 0.25:
        color = make_gray(0.14)
    for side in (-1, 1):
        loop = trace_curve(
            [(side * 0.6, -0.36), (side * rng.uniform(0.8, 1.0), -0.3 + rng.uniform(-0.2, 0.1)),
             (side * rng.uniform(0.85, 1.02), 0.2), (side * 0.6, 0.36)], closed=False
        )  # fmt: skip
        canvas.paint(canvas.stroke(loop, width=0.04), make_gray(0.62))
        canvas.paint(canvas.stroke(loop, width=0.025), make_gray(0.95))
    outline = np.array([(-0.65, -0.4), (0, -0.44), (0.65, -0.4), (0.64, 0.4), (0, 0.46),
                        (-0.64, 0.4)]) + rng.uniform(-0.03, 0.03, (6, 2))  # fmt: skip
    pleats = 0.05 * np.abs((canvas.v * 4 + 0.1 * canvas.u) % 1 - 0.7)
    soft = 0.1 * canvas.noise(rng, 0.5, octaves=2)
    normals = canvas.measure_relief(pleats + soft)
    cloth = 1 + 0.03 * make_noise(rng, canvas.shape, 2.0)
    lit = canvas.shade(normals, color, ambient=0.5) * cloth[..., None]
    shape = canvas.fill(outline)
    canvas.paint(shape, lit)
    seams = [[(-0.6, -0.38), (-0.59, 0.38)], [(0.6, -0.38), (0.59, 0.38)],
             [(-0.62, -0.36), (0.62, -0.36)], [(-0.62, 0.36), (0.62, 0.36)]]  # fmt: skip
    canvas.paint(canvas.stroke(*seams, width=0.018) * shape, color * np.float32(0.75), 0.8)
