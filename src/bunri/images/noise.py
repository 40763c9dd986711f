"""Random fields that make a surface uneven: value noise, folds and beads, as float32 arrays."""

from functools import lru_cache

import numpy as np
from PIL import Image

from bunri.core.contracts import FloatArray

BEAD_TILE_PX = 128
"""Side of the bead tile; it repeats without a seam."""
_BEADS_PER_SIDE = 16


def make_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell_px: float | tuple[float, float],
    *,
    octaves: int = 1,
) -> FloatArray:
    """Return smooth noise.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        cell_px: Size of the largest lumps, one number or (along y, along x).
        octaves: Number of layers, each of half the size and weight of the one before.

    Returns:
        float32 (H, W), about -1 to 1, mean near 0.
    """
    cell_y, cell_x = cell_px if isinstance(cell_px, tuple) else (cell_px, cell_px)
    total = np.zeros(shape, np.float32)
    weight_sum = 0.0
    for octave in range(octaves):
        weight = 0.5**octave
        step_y, step_x = max(cell_y * weight, 1.0), max(cell_x * weight, 1.0)
        rows, columns = int(shape[0] / step_y) + 4, int(shape[1] / step_x) + 4
        grid = rng.random((rows, columns), dtype=np.float32) * 2 - 1
        box = (1.0, 1.0, 1.0 + shape[1] / step_x, 1.0 + shape[0] / step_y)
        smooth = Image.fromarray(grid).resize(
            (shape[1], shape[0]), Image.Resampling.BICUBIC, box=box
        )
        total += weight * np.asarray(smooth)
        weight_sum += weight
    return total / np.float32(weight_sum)


def sample_noise(rng: np.random.Generator, s: FloatArray, t: FloatArray) -> FloatArray:
    """Return smooth noise at any coordinates, for example along an object's own axes.

    Args:
        rng: Source of randomness.
        s: float32 coordinates along the first axis, a lump per unit.
        t: The same along the second axis, of the same shape.

    Returns:
        float32 of that shape, -1 to 1.
    """
    grid = rng.random((64, 64), dtype=np.float32) * 2 - 1
    s_floor, t_floor = np.floor(s), np.floor(t)
    s_part, t_part = s - s_floor, t - t_floor
    s_part *= s_part * (3 - 2 * s_part)
    t_part *= t_part * (3 - 2 * t_part)
    row, column = s_floor.astype(np.int32) & 63, t_floor.astype(np.int32) & 63
    flat = grid.ravel()
    corner = (row << 6) + column
    right = (row << 6) + ((column + 1) & 63)
    below = (((row + 1) & 63) << 6) + column
    across = (((row + 1) & 63) << 6) + ((column + 1) & 63)
    upper = flat[corner] + (flat[right] - flat[corner]) * t_part
    lower = flat[below] + (flat[across] - flat[below]) * t_part
    return np.asarray(upper + (lower - upper) * s_part, np.float32)


def make_wrinkles(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, *, octaves: int = 2
) -> FloatArray:
    """Return ridged noise: sharp crests along curved lines, as in film and tissue.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        cell_px: Distance of the largest wrinkles.
        octaves: Number of layers, each of half the size of the one before.

    Returns:
        float32 (H, W), 0 in the hollows to 1 on the crests.
    """
    total = np.zeros(shape, np.float32)
    weight_sum = 0.0
    for octave in range(octaves):
        weight = 0.55**octave
        ridge = 1 - np.abs(make_noise(rng, shape, cell_px * 0.5**octave)) * 1.6
        total += weight * np.clip(ridge, 0, 1) ** 2
        weight_sum += weight
    return total / np.float32(weight_sum)


def make_creases(
    rng: np.random.Generator, u: FloatArray, v: FloatArray, *, count: int, warp: FloatArray
) -> FloatArray:
    """Return flat facets between creases, as in crumpled paper.

    Args:
        rng: Source of randomness.
        u: (H, W) coordinates of an object about 2 units wide.
        v: (H, W) coordinates across those of ``u``.
        count: Number of creases.
        warp: (H, W) shift of the coordinates that bends the creases.

    Returns:
        float32 (H, W) height in the units of ``u``, zero mean.
    """
    height = np.zeros_like(u)
    for _ in range(count):
        angle = rng.uniform(0, np.pi)
        offset = rng.uniform(-0.8, 0.8)
        distance = u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))
        height += np.abs(distance + warp - np.float32(offset)) * np.float32(rng.uniform(-1, 1))
    return np.asarray((height - height.mean()) / np.float32(np.sqrt(count)), np.float32)


def look_up_beads(rng: np.random.Generator, s: FloatArray, t: FloatArray) -> FloatArray:
    """Return foam beads at any coordinates.

    Args:
        rng: Source of randomness.
        s: float32 coordinates along the first axis, a bead per unit.
        t: The same along the second axis.

    Returns:
        float32 of that shape: 0 in the gaps between beads, 1 in their middle.
    """
    scale = BEAD_TILE_PX / _BEADS_PER_SIDE
    shift_s, shift_t = rng.integers(0, BEAD_TILE_PX, 2)
    row = np.mod((s * scale).astype(np.int32) + shift_s, BEAD_TILE_PX)
    column = np.mod((t * scale).astype(np.int32) + shift_t, BEAD_TILE_PX)
    beads: FloatArray = _make_bead_tile()[row, column]
    return beads


@lru_cache(maxsize=1)
def _make_bead_tile() -> FloatArray:
    # A Worley pattern: distance to the second nearest centre minus distance to the nearest.
    rng = np.random.default_rng(7)
    cells = np.indices((_BEADS_PER_SIDE, _BEADS_PER_SIDE)).reshape(2, -1).T
    centers = (cells + rng.uniform(0.15, 0.85, cells.shape)) * (BEAD_TILE_PX / _BEADS_PER_SIDE)
    rows, columns = np.indices((BEAD_TILE_PX, BEAD_TILE_PX), np.float32)
    nearest = np.full(rows.shape, 1e9, np.float32)
    second = nearest.copy()
    for center_row, center_column in centers:
        distance = np.hypot(
            _wrap_distance(rows - center_row), _wrap_distance(columns - center_column)
        )
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    gap = (second - nearest) / (0.5 * BEAD_TILE_PX / _BEADS_PER_SIDE)
    return np.asarray(np.clip(gap, 0, 1), np.float32)


def _wrap_distance(difference: FloatArray) -> FloatArray:
    wrapped = (difference + BEAD_TILE_PX / 2) % BEAD_TILE_PX - BEAD_TILE_PX / 2
    return np.asarray(np.abs(wrapped), np.float32)
