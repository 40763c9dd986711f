"""Grounds that the waste lies on: asphalt, paving, tiles, planks, grass, concrete, floor sheet."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bunri.core.contracts import FloatArray
from bunri.images.noise import make_noise
from bunri.scenes.colors import Color, pick_color

Ground = Callable[[np.random.Generator, int], FloatArray]


def draw_ground(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return a random ground, float32 (size_px, size_px, 3) RGB, 0 to 1, not clipped."""
    draw = GROUNDS[int(rng.integers(len(GROUNDS)))]
    ground = draw(rng, size_px)
    stains = make_noise(rng, (size_px, size_px), size_px * 0.4, octaves=3)
    ground *= (1 + 0.1 * stains)[..., None]
    return ground


def draw_asphalt(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return asphalt: grey stones in tar, at times a crack or a painted line."""
    shape = (size_px, size_px)
    grit = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
    soft = grit.filter(ImageFilter.GaussianBlur(size_px * rng.uniform(0.0011, 0.0024)))
    stones = np.asarray(soft, np.float32) - np.float32(127.5)
    stones *= np.float32(rng.uniform(0.05, 0.11)) / max(float(stones.std()), 1e-6)
    gray = rng.uniform(0.32, 0.52) + stones + 0.05 * make_noise(rng, shape, size_px * 0.1)
    ground = _tint(gray, pick_color(rng, saturation=(0.0, 0.07), value=(1, 1)))
    if rng.random() < 0.3:
        paint = np.array([0.9, 0.75, 0.25] if rng.random() < 0.4 else [0.86] * 3, np.float32)
        worn = np.clip(1.1 + 1.4 * make_noise(rng, shape, size_px * 0.03, octaves=3), 0, 0.9)
        across, _ = _make_axes(rng, size_px)
        stripe = np.abs(across - rng.uniform(-0.6, 0.6)) < rng.uniform(0.07, 0.12)
        ground += (stripe * worn)[..., None] * (paint * (0.8 + 0.6 * gray[..., None]) - ground)
    if rng.random() < 0.4:
        _draw_crack(rng, ground)
    return ground


def draw_concrete(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return concrete: pale, cloudy, with pores and a joint."""
    shape = (size_px, size_px)
    clouds = make_noise(rng, shape, size_px * 0.3, octaves=5)
    gray = rng.uniform(0.52, 0.72) + 0.09 * clouds + 0.035 * make_noise(rng, shape, 1.5)
    pores = make_noise(rng, shape, max(size_px * 0.008, 1.2))
    gray -= 0.25 * np.clip(pores - 0.62, 0, 1)
    across, _ = _make_axes(rng, size_px)
    joint = np.abs(across - rng.uniform(-0.9, 0.9))
    gray *= 1 - 0.55 * np.exp(-((joint / 0.008) ** 2))
    ground = _tint(gray, pick_color(rng, hue=(0.05, 0.14), saturation=(0.0, 0.13), value=(1, 1)))
    if rng.random() < 0.4:
        _draw_crack(rng, ground)
    return ground


def draw_tiles(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return glazed or stone floor tiles with sunk grout."""
    count = rng.uniform(2.2, 6)
    color = pick_color(rng, hue=(0.03, 0.62), saturation=(0.02, 0.22), value=(0.5, 0.9))
    return _lay_stones(rng, size_px, (2 / count, 2 / count), color, shift=0.0, spread=0.05)


def draw_paving(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return paving blocks in a running bond, grey or reddish."""
    height = rng.uniform(0.2, 0.4)
    color = pick_color(rng, hue=(0.0, 0.1), saturation=(0.03, 0.4), value=(0.45, 0.68))
    return _lay_stones(rng, size_px, (height, 2 * height), color, shift=0.5, spread=0.14)


def _lay_stones(
    rng: np.random.Generator,
    size_px: int,
    stone: tuple[float, float],
    color: Color,
    *,
    shift: float,
    spread: float,
) -> FloatArray:
    # ``stone`` is (height, width); the picture is 2 units wide.
    shape = (size_px, size_px)
    across, along = _make_axes(rng, size_px)
    row = np.floor(along / stone[0] + 50)
    column = np.floor(across / stone[1] + 50 + shift * (row % 2))
    inner_v = (along / stone[0] + 50 - row) * stone[0]
    inner_u = (across / stone[1] + 50 + shift * (row % 2) - column) * stone[1]
    edge = np.minimum(
        np.minimum(inner_u, stone[1] - inner_u), np.minimum(inner_v, stone[0] - inner_v)
    )
    tones = 1 + rng.uniform(-spread, spread, 4096).astype(np.float32)
    tone = tones[(row * 61 + column * 17).astype(np.int32) & 4095]
    grain = 1 + 0.05 * make_noise(rng, shape, size_px * 0.02, octaves=4)
    grain *= 1 + rng.uniform(0.02, 0.1) * make_noise(rng, shape, 1.6)
    ground = (tone * grain)[..., None] * color
    grout_width = rng.uniform(0.006, 0.014)
    grout = np.clip(1.5 - edge / grout_width, 0, 1)[..., None]
    joint = color * np.float32(rng.choice([0.45, 0.6, 1.15]))
    ground += grout * (joint * grain[..., None] - ground)
    bevel = np.exp(-(((edge - 2.2 * grout_width) / grout_width) ** 2))
    return np.asarray(ground * (1 + 0.1 * bevel[..., None]), np.float32)


def draw_planks(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return wooden boards: grain along them, each of its own tone."""
    across, along = _make_axes(rng, size_px)
    width = rng.uniform(0.18, 0.45)
    row = np.floor(across / width + 50)
    inner = (across / width + 50 - row) * width
    offsets = rng.uniform(0, 40, 128).astype(np.float32)
    index = row.astype(np.int32) & 127
    joint = np.abs((along + offsets[index]) % 2.6 - 1.3)
    warp = make_noise(rng, (size_px, size_px), size_px * 0.35, octaves=2)
    rings = np.sin((across * 34 + offsets[index] * 9 + 5 * warp + 1.2 * along).astype(np.float32))
    fine = np.sin((across * 210 + 9 * warp + offsets[index] * 31).astype(np.float32))
    tones = 1 + rng.uniform(-0.12, 0.12, 128).astype(np.float32)
    tone = tones[index] * (1 + 0.06 * rings + 0.035 * fine)
    tone *= 1 + 0.04 * make_noise(rng, (size_px, size_px), 2.0)
    gap = np.minimum(np.minimum(inner, width - inner), joint)
    tone *= 1 - 0.65 * np.exp(-((gap / 0.007) ** 2))
    color = pick_color(rng, hue=(0.05, 0.11), saturation=(0.2, 0.6), value=(0.4, 0.75))
    return _tint(np.asarray(tone, np.float32), color)


def draw_grass(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return a lawn: thousands of blades over soil, some of them dry."""
    soil = pick_color(rng, hue=(0.07, 0.12), saturation=(0.3, 0.5), value=(0.2, 0.35))
    plane = Image.new("RGB", (size_px, size_px), tuple((soil * 255).astype(int).tolist()))
    pen = ImageDraw.Draw(plane)
    count = 6500
    feet = rng.uniform(-0.02, 1.02, (count, 2)) * size_px
    angles = rng.normal(rng.uniform(0, 2 * np.pi), 0.9, count)
    lengths = rng.uniform(0.02, 0.055, count) * size_px
    tips = feet + np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    hue = rng.uniform(0.2, 0.29)
    dry = rng.random(count) < rng.uniform(0.05, 0.35)
    value = rng.uniform(0.3, 0.75, count) * np.linspace(0.6, 1.1, count)
    fresh = np.array(pick_color(rng, hue=(hue, hue), saturation=(0.5, 0.75), value=(1, 1)))
    straw = np.array([0.95, 0.82, 0.5])
    inks = (np.where(dry[:, None], straw, fresh) * value[:, None] * 255).astype(int).tolist()
    width_px = max(round(size_px / 220), 1)
    for ink, foot, tip in zip(inks, feet.tolist(), tips.tolist(), strict=True):
        pen.line([*foot, *tip], fill=tuple(ink), width=width_px)
    return np.asarray(plane, np.float32) * np.float32(1 / 255)


def draw_floor_sheet(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return a room's floor covering: smooth, faintly flecked, with seams."""
    shape = (size_px, size_px)
    color = pick_color(rng, hue=(0.05, 0.6), saturation=(0.03, 0.3), value=(0.55, 0.88))
    flecks = make_noise(rng, shape, max(size_px * 0.006, 1.2))
    tone = 1 + 0.03 * make_noise(rng, shape, size_px * 0.5) + 0.22 * np.clip(flecks - 0.5, 0, 1)
    tone -= 0.2 * np.clip(-flecks - 0.5, 0, 1)
    across, _ = _make_axes(rng, size_px)
    spacing = rng.uniform(0.7, 1.4)
    seam = np.abs((across + 10 * spacing) % spacing - spacing / 2)
    tone *= 1 - 0.4 * np.exp(-((seam / 0.006) ** 2))
    return _tint(np.asarray(tone, np.float32), color)


def draw_soil(rng: np.random.Generator, size_px: int) -> FloatArray:
    """Return trodden earth with pebbles."""
    shape = (size_px, size_px)
    tone = 1 + 0.2 * make_noise(rng, shape, size_px * 0.15, octaves=5)
    tone += 0.12 * make_noise(rng, shape, max(size_px * 0.006, 1.0))
    ground = _tint(
        tone, pick_color(rng, hue=(0.05, 0.1), saturation=(0.2, 0.45), value=(0.38, 0.6))
    )
    plane = Image.new("L", shape)
    pen = ImageDraw.Draw(plane)
    for _ in range(int(rng.integers(20, 70))):
        x, y = rng.uniform(0, size_px, 2)
        r = size_px * rng.uniform(0.004, 0.014)
        pen.ellipse([x - r, y - r * 0.8, x + r, y + r * 0.8], fill=int(rng.integers(90, 230)))
    pebbles = np.asarray(plane, np.float32)[..., None] * np.float32(1 / 255)
    shade = np.roll(pebbles > 0, max(size_px // 200, 1), axis=0) & (pebbles == 0)
    ground *= 1 - 0.35 * shade
    return np.asarray(np.where(pebbles > 0, 0.5 * ground + 0.5 * pebbles, ground), np.float32)


GROUNDS: tuple[Ground, ...] = (
    draw_asphalt, draw_concrete, draw_tiles, draw_paving, draw_planks, draw_grass, draw_floor_sheet,
    draw_soil,
)  # fmt: skip


def _tint(tone: FloatArray, color: Color) -> FloatArray:
    return np.asarray(tone[..., None] * color, np.float32)


def _make_axes(rng: np.random.Generator, size_px: int) -> tuple[FloatArray, FloatArray]:
    # Two axes at a random angle through a random point; the picture is 2 units wide.
    angle = rng.uniform(-0.6, 0.6) + rng.choice([0, np.pi / 2])
    shift = rng.uniform(-0.5, 0.5, 2)
    ramp = ((np.arange(size_px) + 0.5) * (2 / size_px) - 1).astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across = ramp[None, :] * cos + ramp[:, None] * sin + np.float32(shift[0])
    along = ramp[:, None] * cos - ramp[None, :] * sin + np.float32(shift[1])
    return across, along


def _draw_crack(rng: np.random.Generator, ground: FloatArray) -> None:
    size_px = len(ground)
    plane = Image.new("L", (size_px, size_px))
    steps = rng.normal(0, 0.02, (24, 2)) + rng.uniform(-1, 1, 2) * 0.05
    path = (rng.uniform(0.1, 0.9, 2) + np.cumsum(steps, axis=0)) * size_px
    points = [(x, y) for x, y in path.tolist()]
    ImageDraw.Draw(plane).line(points, fill=255, width=max(size_px // 220, 1))
    ground *= 1 - np.asarray(plane, np.float32)[..., None] * np.float32(0.6 / 255)
