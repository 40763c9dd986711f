"""Drawings of Plastic bag: thin, wrinkled film that often lets the ground shine through."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.images.noise import sample_noise
from bunri.scenes.canvas import Canvas, Points, trace_blob, trace_curve, trace_ellipse
from bunri.scenes.colors import Color, make_gray, pick_color
from bunri.scenes.lettering import print_word


def _pick_film(rng: Generator) -> tuple[Color, float]:
    # Colour and opacity: white, black, clear, or coloured.
    kind = rng.random()
    if kind < 0.34:
        return make_gray(rng.uniform(0.86, 0.97)), rng.uniform(0.72, 0.95)
    if kind < 0.52:
        return make_gray(rng.uniform(0.07, 0.14)), rng.uniform(0.93, 0.98)
    if kind < 0.72:
        return make_gray(rng.uniform(0.82, 0.92)), rng.uniform(0.3, 0.5)
    hue = float(rng.choice([0.58, 0.62, 0.95, 0.0, 0.13, 0.36])) + rng.uniform(-0.03, 0.03)
    color = pick_color(rng, hue=(hue, hue), saturation=(0.2, 0.6), value=(0.75, 0.97))
    return color, rng.uniform(0.65, 0.92)


def _paint_film(
    canvas: Canvas, shape: FloatArray, height: FloatArray, color: Color, opacity: float
) -> None:
    """Paint a film: what is steep is seen through more layers, what faces the light gleams."""
    normals = canvas.measure_relief(height)
    steep = np.clip(1.4 * (1 - normals.z), 0, 1)
    # Film scatters light within: its shaded side is never as dark as that of paper.
    lit = canvas.shade(normals, color, ambient=0.6)
    gleam = canvas.gleam(normals, 60) * np.float32(0.3 + 0.45 * (1 - opacity))
    sheen = 0.16 if color.mean() < 0.3 else 0.0
    skin = np.clip(lit + gleam[..., None] + np.float32(sheen) * steep[..., None], 0, 1.05)
    veil = np.clip(opacity + (1 - opacity) * (0.8 * steep + 0.9 * gleam), 0, 1)
    canvas.paint(shape, skin, veil)


def _fold_from(
    canvas: Canvas,
    rng: Generator,
    center: tuple[float, float],
    *,
    folds: float,
    reach: float,
    twins: bool = False,
) -> FloatArray:
    """Return folds that run away from a point, or two twin points, and fade with distance."""
    u = np.abs(canvas.u) if twins else canvas.u
    du, dv = u - np.float32(center[0]), canvas.v - np.float32(center[1])
    distance = np.sqrt(du * du + dv * dv)
    angle = np.arctan2(dv, du)
    if twins:
        angle += np.float32(9) * (canvas.u > 0)
    ridge = 1 - np.abs(sample_noise(rng, angle * np.float32(folds), distance * np.float32(1.5)))
    fade = np.exp(-distance / np.float32(reach)) * np.minimum(distance * 4, 1)
    return np.asarray(ridge * ridge * fade, np.float32)


def draw_carrier_bag(canvas: Canvas, rng: Generator) -> None:
    """Draw a flat shop bag: two handles, a neck between them, wrinkles and print."""
    color, opacity = _pick_film(rng)
    half = rng.uniform(0.5, 0.64)
    neck = rng.uniform(-0.5, -0.35)
    lean = rng.uniform(-0.08, 0.08, 2)
    outline = trace_curve(
        [(-half, 0.9), (0, 0.93), (half, 0.9), (half * 1.04, 0.3), (half * 0.95, -0.3),
         (0.86 * half + lean[1], -0.7), (0.8 * half + lean[1], -0.97),
         (0.45 * half + lean[1], -0.97), (0.4 * half + lean[1], -0.72), (0.3 * half, neck - 0.08),
         (0, neck), (-0.3 * half, neck - 0.08), (-0.4 * half + lean[0], -0.72),
         (-0.45 * half + lean[0], -0.97), (-0.8 * half + lean[0], -0.97),
         (-0.86 * half + lean[0], -0.7), (-half * 0.95, -0.3), (-half * 1.04, 0.3)]
    )  # fmt: skip
    outline = outline + _jitter_outline(rng, outline, 0.022)
    wrinkles = canvas.wrinkles(rng, 0.55, octaves=3)
    height = 0.1 * wrinkles + 0.16 * canvas.noise(rng, 0.5)
    height += 0.13 * _fold_from(canvas, rng, (0.6 * half, -0.75), folds=3.5, reach=0.5, twins=True)
    shape = canvas.fill(outline)
    _paint_film(canvas, shape, np.asarray(height, np.float32), color, opacity)
    for side in (-1, 1):
        hole = trace_ellipse((side * 0.62 * half + lean[(side + 1) // 2], -0.8), (0.035, 0.1))
        canvas.darken(0.45 * canvas.fill(hole))
    gusset = [[(s * 0.78 * half, -0.5), (s * 0.8 * half, 0.85)] for s in (-1, 1)]
    canvas.darken(0.16 * canvas.stroke(*gusset, width=0.02))
    if rng.random() < 0.6:
        _print_logo(canvas, rng, color, shape, 0.2)


def _jitter_outline(rng: Generator, outline: Points, amount: float) -> Points:
    rough = rng.uniform(-1, 1, (len(outline), 2))
    smooth = (rough + np.roll(rough, 1, axis=0) + np.roll(rough, -1, axis=0)) / 3
    return np.asarray(amount * 1.7 * smooth)


def _print_logo(canvas: Canvas, rng: Generator, film: Color, shape: FloatArray, at: float) -> None:
    ink = pick_color(rng, saturation=(0.6, 0.95), value=(0.3, 0.8))
    if film.mean() < 0.5:
        ink = make_gray(0.92)
    word = str(rng.choice(["MART", "THANKS", "FRESH", "SALE", "SHOP", "BAKERY"]))
    patchy = 0.75 + 0.3 * canvas.noise(rng, 0.3)
    box = (-0.34, at, 0.68, 0.22)
    print_word(canvas, word, box, ink, width=0.05, within=shape, opacity=patchy)
    if rng.random() < 0.6:
        ring = trace_ellipse((0, at - 0.22), (0.16, 0.16))
        canvas.paint(canvas.outline(ring, width=0.05) * shape, ink, 0.8)


def draw_knotted_bag(canvas: Canvas, rng: Generator) -> None:
    """Draw a filled bag tied at its neck: round body, folds from the knot, two ears."""
    color, opacity = _pick_film(rng)
    opacity = max(opacity, 0.55)
    knot = (rng.uniform(-0.08, 0.08), -0.52)
    girth = rng.uniform(0.7, 0.85)
    body = trace_curve(
        [(knot[0] - 0.07, knot[1]), (knot[0] + 0.07, knot[1]), (0.55 * girth, -0.3),
         (girth, 0.15), (0.85 * girth, 0.7), (0.3, 0.93), (-0.3, 0.93), (-0.85 * girth, 0.7),
         (-girth, 0.15), (-0.55 * girth, -0.3)]
    )  # fmt: skip
    body = body + _jitter_outline(rng, body, 0.035)
    reach = np.hypot(canvas.u / np.float32(girth), (canvas.v - 0.2) / np.float32(0.75))
    dome = 0.5 * np.sqrt(np.clip(1.06 - reach * reach, 0.02, 1))
    wrinkles = canvas.wrinkles(rng, 0.5, octaves=3)
    lumps = canvas.noise(rng, 0.45)
    folds = _fold_from(canvas, rng, knot, folds=5.0, reach=0.55)
    height = dome + 0.09 * wrinkles + 0.12 * lumps + 0.26 * folds
    _paint_film(canvas, canvas.fill(body), np.asarray(height, np.float32), color, opacity)
    _tie_ears(canvas, rng, knot, color, opacity)


def _tie_ears(
    canvas: Canvas, rng: Generator, knot: tuple[float, float], color: Color, opacity: float
) -> None:
    folds = 0.25 * _fold_from(canvas, rng, knot, folds=6.0, reach=0.4)
    folds += 0.05 * canvas.wrinkles(rng, 0.25)
    for side in (-1, 1):
        lift = rng.uniform(-0.42, -0.25)
        ear = trace_curve(
            [(0, 0.02), (side * 0.12, lift * 0.6), (side * 0.3, lift - 0.06),
             (side * 0.46, lift * 0.7), (side * 0.36, lift * 0.2), (side * 0.15, 0.03)]
        ) + np.array(knot)  # fmt: skip
        ear = ear + _jitter_outline(rng, ear, 0.03)
        _paint_film(canvas, canvas.fill(ear), np.asarray(folds, np.float32), color, opacity)
    reach = np.hypot(canvas.u - np.float32(knot[0]), (canvas.v - np.float32(knot[1])) * 1.3)
    ball = np.asarray(0.8 * np.sqrt(np.clip(0.0125 - reach * reach, 0, 1)), np.float32)
    canvas.darken(0.3 * canvas.ellipse((knot[0], knot[1] + 0.05), (0.14, 0.07)))
    _paint_film(canvas, canvas.ellipse(knot, (0.11, 0.085)), ball, color, max(opacity, 0.85))


def draw_film_sheet(canvas: Canvas, rng: Generator) -> None:
    """Draw a crumpled sheet of clear wrap: almost unseen but for its creases and gleam."""
    outline = trace_blob(rng, (0.95, rng.uniform(0.55, 0.85)), roughness=0.2, corners=13)
    tint = make_gray(0.98) * np.array([rng.uniform(0.92, 1), 1, 1], np.float32)
    wrinkles = canvas.wrinkles(rng, 0.6, octaves=4)
    height = 0.2 * wrinkles + 0.12 * canvas.noise(rng, 0.6)
    shape = canvas.fill(outline)
    _paint_film(canvas, shape, np.asarray(height, np.float32), tint, rng.uniform(0.2, 0.34))
    crest = np.clip((wrinkles - 0.62) / 0.25, 0, 1)
    canvas.brighten(0.55 * crest * crest)
    hollow = np.clip((0.25 - wrinkles) / 0.25, 0, 1)
    canvas.darken(0.1 * hollow)
    canvas.paint(canvas.outline(outline, width=0.014), make_gray(0.95), 0.5)


def draw_roll_bag(canvas: Canvas, rng: Generator) -> None:
    """Draw an emptied packet bag lying flat: sealed ends with teeth, print, long creases."""
    half = rng.uniform(0.48, 0.66)
    color, opacity = _pick_film(rng)
    teeth = np.linspace(-half, half, 25)
    zigzag = 0.02 * (np.arange(25) % 2)
    top = np.stack([teeth, -0.93 + zigzag], axis=1)
    bottom = np.stack([teeth[::-1], 0.93 - zigzag], axis=1)
    waist = half * rng.uniform(0.86, 0.97)
    right = [(waist * 1.02, -0.4), (waist, 0.1), (waist * 1.04, 0.5)]
    left = [(-u, v) for u, v in right[::-1]]
    shape = canvas.fill(np.concatenate([top, right, bottom, left]))
    along = sample_noise(rng, 5.5 * canvas.u, 1.1 * canvas.v)
    wrinkles = canvas.wrinkles(rng, 0.45, octaves=3)
    height = 0.1 * along + 0.09 * wrinkles
    _paint_film(canvas, shape, np.asarray(height, np.float32), color, opacity)
    ribs = np.clip(np.sin(canvas.v * np.float32(130)), 0, 1)
    ends = np.asarray(shape * (np.abs(canvas.v) > 0.82), np.float32)
    canvas.brighten(0.4 * ends * ribs)
    canvas.darken(0.2 * ends * (1 - ribs))
    if rng.random() < 0.7:
        band = canvas.fill([(-1, -0.25), (1, -0.25), (1, 0.5), (-1, 0.5)]) * shape
        tint = pick_color(rng, saturation=(0.4, 0.9), value=(0.4, 0.9))
        canvas.paint(band, tint, 0.45 + 0.4 * wrinkles)
        _print_logo(canvas, rng, tint, shape, 0.1)
