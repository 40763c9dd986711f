"""Drawings of Clothing: shirts, trousers, socks and gloves with folds, seams and weave."""

import numpy as np
from numpy.random import Generator

from bunri.core.contracts import FloatArray
from bunri.images.noise import make_noise, sample_noise
from bunri.scenes.canvas import Canvas, Points, trace_curve, trace_ellipse
from bunri.scenes.colors import Color, make_color, make_gray, pick_color
from bunri.scenes.lettering import print_word

_FINGERS = (
    # Root and tip of four fingers and the thumb.
    ((-0.28, 0.0), (-0.42, -0.72)),
    ((-0.1, -0.05), (-0.14, -0.94)),
    ((0.1, -0.05), (0.14, -0.92)),
    ((0.27, 0.0), (0.4, -0.74)),
    ((0.3, 0.45), (0.74, -0.02)),
)


def _pick_fabric(rng: Generator) -> Color:
    if rng.random() < 0.35:
        return make_gray(rng.choice([0.12, 0.3, 0.55, 0.9])) * np.float32(rng.uniform(0.9, 1.05))
    return pick_color(rng, saturation=(0.25, 0.8), value=(0.25, 0.85))


def _paint_fabric(
    canvas: Canvas, rng: Generator, shape: FloatArray, color: Color, *, depth: float
) -> None:
    """Paint cloth: broad soft folds, a few sharp ones, and the weave."""
    broad = sample_noise(rng, 2.6 * canvas.u + 0.6 * canvas.v, 1.1 * canvas.v - 0.3 * canvas.u)
    sharp = canvas.wrinkles(rng, 0.75, octaves=2)
    normals = canvas.measure_relief(depth * (0.2 * broad + 0.13 * sharp))
    weave = make_noise(rng, canvas.shape, 2.0)
    grain = 1 + 0.07 * weave + 0.04 * np.sin(canvas.u * 190) * np.sin(canvas.v * 190)
    lit = canvas.shade(normals, color, ambient=0.36) * grain[..., None]
    canvas.paint(shape, lit)


def _make_stripes(canvas: Canvas, rng: Generator, base: Color) -> Color:
    kind = rng.random()
    if kind < 0.55:
        return base
    other = pick_color(rng, saturation=(0.0, 0.7), value=(0.3, 0.95))
    rings = np.sin(canvas.v * np.float32(rng.uniform(14, 30))) > rng.uniform(-0.2, 0.5)
    if kind > 0.85:
        rings = rings ^ (np.sin(canvas.u * np.float32(24)) > 0.3)
    return np.asarray(np.where(rings[..., None], other, base), np.float32)


def draw_shirt(canvas: Canvas, rng: Generator) -> None:
    """Draw a T-shirt spread out: sleeves, round collar, folds, stripes or a print."""
    sleeve = rng.uniform(0.0, 0.25)
    half = [
        (0.0, -0.85), (0.2, -0.88), (0.45, -0.74), (0.92, -0.3 + sleeve), (0.7, -0.06 + sleeve),
        (0.48, -0.26), (0.5, 0.3), (0.52, 0.84), (0.0, 0.88),
    ]  # fmt: skip
    right = np.array(half) + rng.uniform(-0.03, 0.03, (9, 2))
    left = (np.array(half) * (-1, 1) + rng.uniform(-0.04, 0.04, (9, 2)))[1:-1][::-1]
    outline = np.concatenate([right, left])
    outline = _soften_corners(outline)
    shape = canvas.fill(outline)
    base = _pick_fabric(rng)
    color = _make_stripes(canvas, rng, base)
    _paint_fabric(canvas, rng, shape, color, depth=0.8)
    seams = [[(s * 0.46, -0.7), (s * 0.44, -0.45), (s * 0.49, -0.24)] for s in (-1, 1)]
    seams.append([(-0.52, 0.79), (0.52, 0.79)])
    canvas.darken(0.4 * canvas.stroke(*seams, width=0.016) * shape)
    canvas.paint(canvas.ellipse((0, -0.83), (0.22, 0.17)) * shape, base * np.float32(0.75))
    canvas.paint(canvas.ellipse((0, -0.83), (0.17, 0.12)) * shape, base * np.float32(0.36))
    label = [(-0.04, -0.83), (0.04, -0.83), (0.04, -0.77), (-0.04, -0.77)]
    canvas.paint(canvas.fill(label), make_gray(0.85))
    if color.ndim == 1 and rng.random() < 0.7:
        _print_chest(canvas, rng, shape)


def _soften_corners(outline: Points) -> Points:
    # Cutting every corner once keeps the garment's shape and takes off the points.
    following = np.roll(outline, -1, axis=0)
    near = 0.88 * outline + 0.12 * following
    far = 0.12 * outline + 0.88 * following
    return np.stack([near, far], axis=1).reshape(-1, 2)


def _print_chest(canvas: Canvas, rng: Generator, shape: FloatArray) -> None:
    ink = pick_color(rng, saturation=(0.0, 0.9), value=(0.6, 1.0))
    if rng.random() < 0.5:
        disc = canvas.ellipse((0, -0.15), (0.24, 0.24)) * shape
        canvas.paint(disc, ink, 0.8)
        ring = trace_ellipse((0, -0.15), (0.28, 0.28))
        canvas.paint(canvas.outline(ring, width=0.025) * shape, ink, 0.8)
    word = str(rng.choice(["TEAM", "SURF", "NYC", "LOVE", "RUN"]))
    print_word(canvas, word, (-0.3, 0.2, 0.6, 0.16), ink, width=0.045, within=shape, opacity=0.85)


def draw_trousers(canvas: Canvas, rng: Generator) -> None:
    """Draw trousers or shorts: waistband, two legs apart, pockets and a fly."""
    hem = rng.choice([0.25, 0.95], p=[0.3, 0.7])
    spread = rng.uniform(0.05, 0.25)
    cut = 0.2 if hem > 0.5 else 0.3
    right = [(0.36, -0.92), (0.42, -0.5), (0.44 + spread * 0.5, 0.1 if hem > 0.5 else -0.1),
             (0.38 + spread, hem), (0.38 + spread - cut, hem + 0.02), (0.02, -0.28)]  # fmt: skip
    left = [(-u, v) for u, v in right[:5]][::-1]
    outline = np.array(right + left)
    outline += rng.uniform(-0.03, 0.03, outline.shape)
    shape = canvas.fill(_soften_corners(outline))
    color = _pick_fabric(rng)
    if rng.random() < 0.45:  # denim
        color = make_color(0.2, 0.29, 0.45) * np.float32(rng.uniform(0.7, 1.5))
    _paint_fabric(canvas, rng, shape, color, depth=0.9)
    stitch = np.minimum(color * np.float32(1.5) + np.float32(0.08), 1)
    lines = [[(-0.4, -0.78), (0.4, -0.78)], [(0.0, -0.78), (0.02, -0.35)],
             [(-0.4, -0.55), (-0.2, -0.76)], [(0.4, -0.55), (0.2, -0.76)]]  # fmt: skip
    canvas.darken(0.45 * canvas.stroke(*lines, width=0.022) * shape)
    canvas.paint(canvas.stroke(*(np.array(x) + 0.02 for x in lines), width=0.01) * shape, stitch)
    canvas.paint(canvas.ellipse((0.0, -0.85), (0.025, 0.025)), make_color(0.75, 0.6, 0.35))
    hems = [[(s * 0.05, hem - 0.05), (s * 0.9, hem - 0.05)] for s in (-1, 1)]
    canvas.darken(0.35 * canvas.stroke(*hems, width=0.016) * shape)


def draw_sock(canvas: Canvas, rng: Generator) -> None:
    """Draw a sock: ribbed cuff, heel and toe in another colour."""
    flip = rng.choice([-1, 1])
    outline = trace_curve(
        [(-0.28, -0.92), (0.22, -0.92), (0.24, -0.4), (0.26, 0.1), (0.5, 0.38), (0.82, 0.55),
         (0.9, 0.75), (0.72, 0.92), (0.3, 0.88), (-0.1, 0.75), (-0.34, 0.4), (-0.27, -0.1),
         (-0.27, -0.5)]
    ) * (flip, 1)  # fmt: skip
    shape = canvas.fill(outline)
    base = _pick_fabric(rng)
    _paint_fabric(canvas, rng, shape, _make_stripes(canvas, rng, base), depth=0.6)
    accent = pick_color(rng, saturation=(0.0, 0.9), value=(0.3, 0.95))
    toe = canvas.ellipse((flip * 0.86, 0.8), (0.3, 0.36)) * shape
    heel = canvas.ellipse((flip * -0.3, 0.55), (0.26, 0.26)) * shape
    cuff = np.asarray(shape * (canvas.v < -0.66), np.float32)
    for part in (toe, heel, cuff):
        canvas.paint(part, accent, 0.85)
    ribs = np.clip(np.sin(canvas.u * 60), 0, 1)
    canvas.darken(0.35 * cuff * ribs)
    edge = np.clip(shape - _shrink_shape(canvas, shape), 0, 1)
    canvas.darken(0.35 * edge)


def _shrink_shape(canvas: Canvas, shape: FloatArray) -> FloatArray:
    step = max(int(0.025 * canvas.unit_px), 1)
    smaller = shape
    for axis in (0, 1):
        for shift in (-step, step):
            smaller = np.minimum(smaller, np.roll(shape, shift, axis))
    return smaller


def draw_glove(canvas: Canvas, rng: Generator) -> None:
    """Draw a knitted work glove: four fingers, a thumb, a coated palm or plain."""
    fingers = []
    for root, tip in _FINGERS:
        end_u, end_v = np.add(tip, rng.uniform(-0.06, 0.06, 2)).tolist()
        fingers.append((root, (end_u, end_v)))
    palm = trace_curve([(-0.38, 0.0), (0.38, 0.0), (0.4, 0.5), (0.33, 0.9), (-0.33, 0.9),
                        (-0.38, 0.5)])  # fmt: skip
    shape = canvas.fill(palm)
    for root, tip in fingers:
        shape = np.maximum(shape, canvas.stroke([root, tip], width=0.2))
        shape = np.maximum(shape, canvas.ellipse(tip, (0.1, 0.1)))
    _paint_fabric(canvas, rng, shape, _pick_fabric(rng), depth=0.6)
    if rng.random() < 0.7:
        coat = pick_color(rng, hue=(-0.05, 0.12), saturation=(0.6, 0.9), value=(0.5, 0.9))
        part = np.asarray(shape * (canvas.v < 0.5), np.float32)
        gloss = 0.8 + 0.35 * canvas.noise(rng, 0.2, octaves=2)
        canvas.paint(part, gloss[..., None] * coat, 0.85)
    ribs = np.clip(np.sin(canvas.u * 55), 0, 1) * (canvas.v > 0.66)
    canvas.darken(0.3 * ribs * shape)
    edge = np.clip(shape - _shrink_shape(canvas, shape), 0, 1)
    canvas.darken(0.4 * edge)
