"""Glass and clear plastic: turned bodies that light passes through.

Owns the variants of Glass and Plastic. Knows nothing of scenes.
"""

import numpy as np

from bunri.contracts import FloatArray
from bunri.scenes.canvas import (
    Canvas,
    Color,
    make_gray,
    pick_color,
    trace_blob,
    trace_curve,
    trace_ellipse,
)
from bunri.scenes.lettering import trace_text_lines, trace_word
from bunri.scenes.noise import make_noise, make_wrinkles
from bunri.scenes.solids import Turned, turn_profile

_GLASS_COLORS = (
    ((0.07, 0.33, 0.16), 0.8),  # soju green
    ((0.16, 0.36, 0.1), 0.82),
    ((0.3, 0.15, 0.05), 0.86),  # beer brown
    ((0.2, 0.1, 0.05), 0.9),
    ((0.72, 0.82, 0.8), 0.3),  # clear
)


def _paint_clear(canvas: Canvas, body: Turned, tint: Color, opacity: float, *, edge: float) -> None:
    # Light crosses more glass at the edges, so they are darker and hide the ground.
    rim = np.abs(body.across) ** 3
    shade = 0.85 - edge * rim + 0.25 * body.across * np.float32(-canvas.light_across)
    color = np.asarray(np.clip(shade, 0.1, 1.2)[..., None] * tint, np.float32)
    canvas.paint(body.coverage, color, opacity + (0.95 - opacity) * rim)


def _add_streaks(canvas: Canvas, body: Turned, top: float, bottom: float, strength: float) -> None:
    lean = 1.0 if canvas.light_across > 0 else -1.0
    rng = canvas.rng
    fade = np.clip(np.minimum(canvas.v - top, bottom - canvas.v) / 0.06, 0, 1)
    for center, width, weight in ((0.55, 0.09, 0.85), (0.33, 0.04, 0.4), (-0.72, 0.07, 0.4)):
        x = (body.across - np.float32(center * lean)) / np.float32(width)
        streak = np.clip(1.6 - np.abs(x), 0, 1)
        canvas.brighten(np.float32(weight * strength * rng.uniform(0.8, 1.1)) * streak * fade)


def draw_glass_bottle(canvas: Canvas) -> None:
    """Draw a soju or beer bottle: long neck, crown or screw cap, paper label."""
    rng = canvas.rng
    tint, opacity = _GLASS_COLORS[int(rng.integers(len(_GLASS_COLORS)))]
    girth, shoulder = rng.uniform(0.26, 0.31), rng.uniform(-0.38, -0.2)
    body = turn_profile(
        canvas,
        [(-0.98, 0.085), (-0.93, 0.09), (-0.92, 0.11), (-0.87, 0.11), (-0.86, 0.085),
         (shoulder - 0.25, 0.11), (shoulder, girth), (0.92, girth), (0.96, 0.88 * girth)],
        roundness=rng.uniform(0.05, 0.16),
    )  # fmt: skip
    _paint_clear(canvas, body, np.array(tint, np.float32), opacity, edge=0.5)
    liquid = np.asarray(body.coverage * (np.abs(body.across) > 0.8), np.float32)
    canvas.darken(0.25 * liquid)
    canvas.darken(0.35 * body.cut_band(0.86, 1.2))
    if rng.random() < 0.75:
        _stick_label(canvas, body, shoulder + 0.2, rng.uniform(0.5, 0.7))
    _add_streaks(canvas, body, shoulder - 0.02, 0.9, 1.0)
    _add_streaks(canvas, body, -0.84, shoulder - 0.18, 0.6)
    if rng.random() < 0.5:
        cap = turn_profile(canvas, [(-1.0, 0.12), (-0.88, 0.13)], roundness=0.15)
        color = pick_color(rng, saturation=(0.0, 0.8), value=(0.5, 0.85))
        ridges = 0.8 + 0.25 * np.sin(12 * np.arcsin(cap.across))
        canvas.paint(cap.coverage, np.asarray(ridges[..., None] * color, np.float32))


def _stick_label(canvas: Canvas, body: Turned, top: float, bottom: float) -> None:
    rng = canvas.rng
    label = body.cut_band(top, bottom)
    paper = pick_color(rng, saturation=(0.0, 0.25), value=(0.85, 0.97))
    ink = pick_color(rng, saturation=(0.6, 0.95), value=(0.3, 0.7))
    light = np.clip(1 - 0.55 * np.abs(body.across) ** 3, 0, 1)[..., None]
    canvas.paint(label, np.asarray(light * paper, np.float32), 0.97)
    stripe = rng.uniform(0.08, 0.3) * (bottom - top)
    canvas.paint(body.cut_band(top, top + stripe), np.asarray(light * ink, np.float32))
    word = trace_word(
        str(rng.choice(["SOJU", "MALT", "JUICE", "WINE", "HONEY", "SAUCE"])),
        left=-0.8, top=top + 1.4 * stripe, width=1.6, height=0.3 * (bottom - top),
        place=body.place,
    )  # fmt: skip
    canvas.paint(canvas.stroke(*word, width=0.035) * label, ink)
    lines = trace_text_lines(
        rng, left=-0.9, top=top + 0.7 * (bottom - top), width=1.8,
        height=0.25 * (bottom - top), count=3, place=body.place,
    )  # fmt: skip
    canvas.paint(canvas.stroke(*lines, width=0.016) * label, make_gray(0.3), 0.7)


def draw_jar(canvas: Canvas) -> None:
    """Draw a squat clear or brown jar with a metal screw lid or an open mouth."""
    rng = canvas.rng
    roundness = rng.uniform(0.22, 0.36)
    mouth, girth = rng.uniform(0.4, 0.5), rng.uniform(0.56, 0.66)
    body = turn_profile(
        canvas,
        [(-0.66, mouth), (-0.5, mouth), (-0.3, girth), (0.6, girth), (0.72, 0.86 * girth)],
        roundness=roundness,
    )
    tint, opacity = _GLASS_COLORS[int(rng.choice([3, 4, 4]))]
    _paint_clear(canvas, body, np.array(tint, np.float32), opacity, edge=0.5)
    base = canvas.ellipse((0, 0.72), (0.8 * girth, 0.8 * girth * roundness))
    canvas.darken(0.3 * base)
    if rng.random() < 0.6:
        _stick_label(canvas, body, -0.25, rng.uniform(0.2, 0.4))
    _add_streaks(canvas, body, -0.3, 0.62, 1.1)
    rings = ((1.02, 0.95, 0.7), (0.9, 0.3, 0.5))
    if rng.random() < 0.5:
        lid = turn_profile(canvas, [(-0.74, mouth + 0.05), (-0.56, mouth + 0.05)],
                           roundness=roundness)  # fmt: skip
        color = pick_color(rng, saturation=(0.0, 0.8), value=(0.5, 0.85))
        ridges = 0.75 + 0.2 * np.sin(40 * np.arcsin(lid.across)) - 0.2 * np.abs(lid.across)
        canvas.paint(lid.coverage, np.asarray(ridges[..., None] * color, np.float32))
        radius = mouth + 0.05
        canvas.paint(canvas.ellipse((0, -0.74), (radius, radius * roundness)), color * 0.95)
        canvas.paint(canvas.ellipse((0, -0.74), (0.85 * radius, 0.85 * radius * roundness)),
                     np.minimum(color * 1.15, 1))  # fmt: skip
        return
    for share, gray, strength in rings:
        ring = canvas.ellipse((0, -0.66), (mouth * share, mouth * share * roundness))
        canvas.paint(ring, make_gray(gray), strength)


def draw_glass_shards(canvas: Canvas) -> None:
    """Draw the jagged lower half of a broken bottle with splinters beside it."""
    rng = canvas.rng
    tint, opacity = _GLASS_COLORS[int(rng.integers(len(_GLASS_COLORS)))]
    body = turn_profile(
        canvas, [(-0.6, 0.36), (0.72, 0.38), (0.8, 0.33)], roundness=rng.uniform(0.2, 0.35)
    )
    edge = [(0.45, 1.2), (-0.45, 1.2)]
    for u in np.linspace(-0.45, 0.45, 9):
        edge.append((float(u), rng.uniform(-0.5, 0.15)))
    keep = canvas.fill(edge)
    color = np.array(tint, np.float32)
    rim = np.abs(body.across) ** 3
    shade = np.asarray((0.9 - 0.4 * rim)[..., None] * color, np.float32)
    canvas.paint(body.coverage * keep, shade, opacity + (0.95 - opacity) * rim)
    brink = canvas.stroke(edge[2:], width=0.03) * body.coverage
    canvas.paint(brink, np.minimum(color + 0.35, 1), 0.75)
    _add_streaks(canvas, body, -0.2, 0.7, 1.0)
    for _ in range(int(rng.integers(2, 5))):
        at = np.array([rng.choice([-1, 1]) * rng.uniform(0.5, 0.8), rng.uniform(-0.6, 0.7)])
        shard = trace_blob(rng, (0.16, 0.1), roughness=0.5, corners=5)[::4] + at
        canvas.paint(canvas.fill(shard), np.minimum(color * 1.2, 1), max(opacity, 0.5))
        canvas.paint(canvas.stroke(shard[2:5], width=0.02), np.minimum(color + 0.4, 1), 0.7)


def draw_pet_bottle(canvas: Canvas) -> None:
    """Draw a PET bottle: screw cap, waist ribs, clear wall, wrap-round label."""
    rng = canvas.rng
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
    body = turn_profile(canvas, profile, roundness=roundness, sway=sway)
    tint = pick_color(rng, hue=(0.5, 0.62), saturation=(0.02, 0.22), value=(0.92, 1.0))
    _paint_clear(canvas, body, tint, rng.uniform(0.26, 0.42), edge=0.35)
    ribs = np.sin(body.height * np.float32(2 * np.pi / 0.13))
    canvas.brighten(0.26 * np.clip(ribs, 0, 1) ** 2)
    canvas.darken(0.12 * np.clip(-ribs, 0, 1) ** 2)
    crumple = make_wrinkles(rng, canvas.shape, 0.35 * canvas.unit_px)
    canvas.brighten(0.5 * np.clip(crumple - 0.55, 0, 1))
    if rng.random() < 0.7:
        _wrap_label(canvas, body)
    _add_streaks(canvas, body, -0.5, 0.9, 0.9)
    _screw_cap(canvas, sway[0] if sway else 0.0, roundness)


def _wrap_label(canvas: Canvas, body: Turned) -> None:
    rng = canvas.rng
    top, bottom = rng.uniform(-0.3, -0.2), rng.uniform(0.15, 0.35)
    label = body.cut_band(top, bottom)
    base = pick_color(rng, saturation=(0.4, 0.95), value=(0.5, 0.95))
    accent = pick_color(rng, saturation=(0.0, 0.5), value=(0.85, 1.0))
    light = 0.75 + 0.3 * np.cos(2 * (body.across - 0.4 * np.float32(canvas.light_across)))
    canvas.paint(label, np.asarray(light[..., None] * base, np.float32), 0.93)
    middle = (top + bottom) / 2
    wave = np.abs(body.height - middle - 0.06 * np.sin(4 * body.across)) < 0.045
    canvas.paint(np.asarray(label * wave, np.float32), accent, 0.9)
    word = trace_word(
        str(rng.choice(["AQUA", "COLA", "TEA", "FRESH", "DEW"])),
        left=-0.7, top=top + 0.06, width=1.4, height=0.15, place=body.place,
    )  # fmt: skip
    canvas.paint(canvas.stroke(*word, width=0.04) * label, accent)


def _screw_cap(canvas: Canvas, shift: float, roundness: float) -> None:
    rng = canvas.rng
    color = pick_color(rng, saturation=(0.0, 0.9), value=(0.6, 0.95))
    if rng.random() < 0.35:
        color = make_gray(rng.uniform(0.85, 0.97))
    for top, bottom, radius, dim in ((-0.83, -0.8, 0.135, 0.8), (-0.99, -0.86, 0.125, 1.0)):
        cap = turn_profile(
            canvas, [(top, radius), (bottom, radius)], roundness=roundness, sway=[shift, shift]
        )
        grip = 0.82 + 0.16 * np.sin(14 * np.arcsin(cap.across)) - 0.25 * cap.across**4
        canvas.paint(cap.coverage, np.asarray(grip[..., None] * color * dim, np.float32))
    lid = canvas.ellipse((shift, -0.99), (0.12, 0.12 * roundness))
    canvas.paint(lid, np.minimum(color * 1.15, 1))


def draw_drink_cup(canvas: Canvas) -> None:
    """Draw a clear takeaway cup with a dome lid and a straw, some drink left."""
    rng = canvas.rng
    roundness = rng.uniform(0.18, 0.32)
    if rng.random() < 0.8:
        straw = pick_color(rng, saturation=(0.2, 0.9), value=(0.4, 0.95))
        tip = (rng.uniform(-0.3, 0.3), -1.05)
        canvas.paint(canvas.stroke([(0.02, -0.3), tip], width=0.07), straw * 0.8)
        canvas.paint(canvas.stroke([(0.03, -0.3), (tip[0] + 0.01, tip[1])], width=0.03), straw)
    body = turn_profile(canvas, [(-0.42, 0.46), (0.85, 0.32)], roundness=roundness)
    _paint_clear(canvas, body, np.array([0.9, 0.93, 0.95], np.float32), 0.3, edge=0.35)
    drink = pick_color(rng, hue=(0.02, 0.12), saturation=(0.3, 0.8), value=(0.2, 0.8))
    level = rng.uniform(0.1, 0.8)
    canvas.paint(body.cut_band(level, 1.4), drink, 0.75)
    if rng.random() < 0.6:
        mark = pick_color(rng, saturation=(0.5, 0.9), value=(0.25, 0.6))
        ring = body.place(trace_ellipse((0.0, 0.1), (0.5, 0.19)))
        canvas.paint(canvas.fill(ring) * body.coverage, mark, 0.9)
        word = trace_word("CAFE", left=-0.32, top=0.03, width=0.64, height=0.14, place=body.place)
        canvas.paint(canvas.stroke(*word, width=0.025), make_gray(0.95))
    _add_streaks(canvas, body, -0.4, 0.84, 1.0)
    dome = turn_profile(
        canvas, [(-0.76, 0.18), (-0.68, 0.36), (-0.48, 0.46), (-0.44, 0.5), (-0.4, 0.5)],
        roundness=roundness,
    )  # fmt: skip
    _paint_clear(canvas, dome, np.array([0.92, 0.95, 0.97], np.float32), 0.4, edge=0.3)
    canvas.brighten(0.5 * dome.cut_band(-0.62, -0.56) + 0.35 * dome.cut_band(-0.47, -0.43))
    _add_streaks(canvas, dome, -0.7, -0.45, 0.9)


def draw_food_tray(canvas: Canvas) -> None:
    """Draw a thin food tray from above: rolled rim, sunk floor, compartments."""
    rng = canvas.rng
    half = rng.uniform(0.55, 0.78)
    is_clear = rng.random() < 0.35
    color = make_gray(float(rng.choice([0.1, 0.13, 0.9])))
    if rng.random() < 0.25:
        color = pick_color(rng, saturation=(0.4, 0.8), value=(0.5, 0.9))
    if is_clear:
        color = make_gray(0.97)
    walls = trace_superellipse(1.0, half)
    bowl = _measure_bowl(canvas, half)
    normals = canvas.measure_relief(0.22 * bowl + 0.004 * np.sin(40 * canvas.u))
    skin = canvas.shade(normals, color, ambient=0.45, gloss=0.55, shininess=40)
    canvas.paint(canvas.fill(walls), skin, 0.42 if is_clear else 1.0)
    rim = canvas.fill(walls) - canvas.fill(0.93 * walls)
    canvas.paint(np.clip(rim, 0, 1), np.minimum(color * 1.1 + 0.08, 1), 0.6)
    canvas.brighten(0.8 * canvas.gleam(normals, 90))
    stain = np.clip(make_noise(rng, canvas.shape, 0.5 * canvas.unit_px, octaves=3) - 0.15, 0, 1)
    sauce = pick_color(rng, hue=(0.0, 0.1), saturation=(0.6, 0.9), value=(0.4, 0.7))
    canvas.paint(canvas.fill(0.8 * walls) * np.clip(3 * stain, 0, 1), sauce, 0.45)


def trace_superellipse(half_width: float, half_height: float) -> np.ndarray:
    """Return the outline of a rectangle with round corners as (64, 2) points."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = half_width * np.sign(cos) * np.abs(cos) ** 0.3
    return np.stack([x, half_height * np.sign(sin) * np.abs(sin) ** 0.3], axis=1)


def _measure_bowl(canvas: Canvas, half: float) -> FloatArray:
    # Depth of one or two sunk compartments, 0 on the rim, -1 on the floor.
    u, v = canvas.u, canvas.v
    if canvas.rng.random() < 0.5:
        split = np.float32(canvas.rng.uniform(-0.2, 0.3))
        inside = np.minimum(0.88 - np.abs(u), np.abs(u - split) - 0.05)
    else:
        inside = 0.88 - np.abs(u)
    inside = np.minimum(inside, half - 0.12 - np.abs(v))
    part = np.clip(inside / 0.16, 0, 1)
    return np.asarray(-part * part * (3 - 2 * part), np.float32)


def draw_detergent_bottle(canvas: Canvas) -> None:
    """Draw an opaque household bottle with a grip hole or a pump, and a label."""
    rng = canvas.rng
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
    _draw_closure(canvas, neck, has_pump=has_pump)
    label = canvas.fill(trace_superellipse(0.75 * half, 0.34) + (0, 0.4)) * body
    canvas.paint(label, pick_color(rng, saturation=(0.0, 0.3), value=(0.85, 1.0)), 0.95)
    ink = pick_color(rng, saturation=(0.7, 1.0), value=(0.4, 0.8))
    word = trace_word("SOAP", left=-0.55 * half, top=0.18, width=1.1 * half, height=0.18,
                      place=np.asarray)  # fmt: skip
    canvas.paint(canvas.stroke(*word, width=0.045), ink)
    lines = trace_text_lines(rng, left=-0.55 * half, top=0.45, width=1.1 * half, height=0.22,
                             count=4, place=np.asarray)  # fmt: skip
    canvas.paint(canvas.stroke(*lines, width=0.02), make_gray(0.35), 0.8)
    if not has_pump:
        hole = trace_ellipse((0.62 * half, -0.28), (0.08, 0.2), turn_deg=12)
        canvas.paint(canvas.fill(hole), base * 0.35)


def _draw_closure(canvas: Canvas, neck: float, *, has_pump: bool) -> None:
    color = pick_color(canvas.rng, saturation=(0.0, 0.8), value=(0.75, 1.0))
    cap = turn_profile(canvas, [(-0.86, 0.13), (-0.68, 0.14)], roundness=0.1, sway=[neck, neck])
    grip = 0.85 + 0.12 * np.sin(12 * np.arcsin(cap.across)) - 0.2 * cap.across**4
    canvas.paint(cap.coverage, np.asarray(grip[..., None] * color, np.float32))
    if has_pump:
        canvas.paint(canvas.stroke([(0, -0.84), (0, -0.98)], width=0.08), color * 0.85)
        spout = [(0.1, -0.98), (-0.28, -1.0), (-0.36, -0.93)]
        canvas.paint(canvas.stroke(spout, width=0.1), color * 0.95)
