"""The drawing board of one object: shapes, paint and light, supersampled two or three times."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw

from bunri.core.contracts import FloatArray
from bunri.images.noise import make_noise, make_wrinkles
from bunri.scenes.colors import Color

Points = npt.NDArray[np.float64]  # (N, 2), (u, v) in an object's own units
Pair = tuple[float, float]
PointsLike = Points | Sequence[Pair]
Floats = npt.NDArray[np.floating[Any]]  # computed values; what they are painted on is float32

MARGIN = 1.25
"""Distance of the board's edge from the object's centre, in the object's units."""
_SMALL_OBJECT_PX = 110


@dataclass(frozen=True, slots=True)
class Normals:
    """Unit vectors of a surface along the image axes: x right, y down, z to the viewer."""

    x: FloatArray
    y: FloatArray
    z: FloatArray


@dataclass(frozen=True, slots=True)
class View:
    """Light and camera of a scene."""

    light: tuple[float, float, float]  # unit vector towards the light, axes as in Normals
    camera_tilt_deg: float  # 0 looks straight down


@dataclass(frozen=True, slots=True)
class Patch:
    """A finished object at the size of the scene; all float32."""

    color: FloatArray  # RGB times opacity, (h, w, 3)
    opacity: FloatArray  # (h, w), 0 to 1; below 1 for film and glass
    coverage: FloatArray  # (h, w), 1 on the object, however transparent it is


class Canvas:
    """Board on which one object is painted in its own coordinates.

    The object's u axis points right and its v axis down before it is turned; its longest
    side runs from -1 to 1. All arrays are float32 (H, W) of the board.

    Args:
        side_px: Longest side of the object in pixels of the scene.
        turn_deg: Turn of the object, clockwise on the screen.
    """

    def __init__(self, side_px: float, turn_deg: float, view: View) -> None:
        self.view = view
        self.supersample = 3 if side_px < _SMALL_OBJECT_PX else 2
        self.unit_px = side_px / 2 * self.supersample
        half_px = int(np.ceil(MARGIN * side_px / 2)) * self.supersample
        self.shape = (2 * half_px, 2 * half_px)
        self._center_px = half_px
        self._cos, self._sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        axis = ((np.arange(2 * half_px) + 0.5 - half_px) / self.unit_px).astype(np.float32)
        x, y = axis[None, :], axis[:, None]
        self.u: FloatArray = x * np.float32(self._cos) + y * np.float32(self._sin)
        self.v: FloatArray = y * np.float32(self._cos) - x * np.float32(self._sin)
        self._color = np.zeros((3, *self.shape), np.float32)  # one plane a channel is fastest
        self._opacity = np.zeros(self.shape, np.float32)
        self._coverage = np.zeros(self.shape, np.float32)

    @property
    def light_across(self) -> float:
        """Direction of the light: 1 from the object's right, -1 from its left."""
        x, y, _ = self.view.light
        return float(x * self._cos + y * self._sin) / max(float(np.hypot(x, y)), 1e-6)

    def noise(self, rng: Generator, size: float, *, octaves: int = 1) -> FloatArray:
        """Return noise with lumps of ``size`` units, (H, W); see :func:`make_noise`."""
        return make_noise(rng, self.shape, size * self.unit_px, octaves=octaves)

    def wrinkles(self, rng: Generator, size: float, *, octaves: int = 2) -> FloatArray:
        """Return ridges ``size`` units apart, (H, W); see :func:`make_wrinkles`."""
        return make_wrinkles(rng, self.shape, size * self.unit_px, octaves=octaves)

    def fill(self, *polygons: PointsLike) -> FloatArray:
        """Return the coverage of polygons given in the object's coordinates."""
        plane = Image.new("L", (self.shape[1], self.shape[0]))
        pen = ImageDraw.Draw(plane)
        for polygon in polygons:
            pen.polygon(self._to_board(polygon), fill=255)
        return _read_plane(plane)

    def stroke(self, *lines: PointsLike, width: float) -> FloatArray:
        """Return the coverage of lines ``width`` units wide, with round joints."""
        plane = Image.new("L", (self.shape[1], self.shape[0]))
        pen = ImageDraw.Draw(plane)
        width_px = max(round(width * self.unit_px), 1)
        for line in lines:
            pen.line(self._to_board(line), fill=255, width=width_px, joint="curve")
        return _read_plane(plane)

    def ellipse(self, center: Pair, radii: Pair) -> FloatArray:
        """Return the coverage of an ellipse."""
        return self.fill(trace_ellipse(center, radii))

    def disc(self, center: Pair, radius: float, roundness: float = 1.0) -> FloatArray:
        """Return the coverage of a circle that is seen obliquely."""
        return self.ellipse(center, (radius, radius * roundness))

    def outline(self, corners: Points, *, width: float) -> FloatArray:
        """Return the coverage of a closed line; as :meth:`stroke`."""
        return self.stroke([*corners, corners[0]], width=width)

    def paint(self, coverage: Floats, color: Floats, opacity: float | Floats = 1.0) -> None:
        """Paint RGB, (3,) or (H, W, 3), over the board where ``coverage``, (H, W), is not 0.

        Everything painted belongs to the object, however transparent it is.
        """
        coverage, color = np.asarray(coverage, np.float32), np.asarray(color, np.float32)
        opacity = np.asarray(opacity, np.float32)
        rows = np.flatnonzero(coverage.max(axis=1))
        columns = np.flatnonzero(coverage.max(axis=0))
        if not rows.size:
            return
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inked = coverage[part]
        ink = inked * (opacity[part] if opacity.ndim else opacity)
        rest = 1 - ink
        hue = color[part] if color.ndim == 3 else color
        for channel, plane in enumerate(self._color):
            plane[part] *= rest
            plane[part] += ink * hue[..., channel]
        self._opacity[part] *= rest
        self._opacity[part] += ink
        np.maximum(self._coverage[part], inked, out=self._coverage[part])

    def darken(self, amount: Floats) -> None:
        """Darken the object by ``amount``, (H, W), 0 to 1."""
        self.paint(np.asarray(amount, np.float32) * self._coverage, np.zeros(3, np.float32))

    def brighten(self, amount: Floats) -> None:
        """Lighten the object towards white by ``amount``, (H, W), 0 to 1."""
        self.paint(np.asarray(amount, np.float32) * self._coverage, np.ones(3, np.float32))

    def mottle(self, grain: FloatArray) -> None:
        """Multiply all paint by ``grain``, (H, W), values around 1."""
        self._color *= grain

    def measure_relief(self, height: Floats) -> Normals:
        """Return the normals of a surface ``height`` (H, W) units above the board."""
        down, right = np.gradient(np.asarray(height, np.float32) * np.float32(self.unit_px))
        length = np.sqrt(right * right + down * down + 1)
        return Normals(-right / length, -down / length, 1 / length)

    def turn_normals(self, across: FloatArray, along: FloatArray, out: FloatArray) -> Normals:
        """Return unit normals on the image axes from (u, v, viewer) vectors of any length."""
        length = np.sqrt(across * across + along * along + out * out) + np.float32(1e-6)
        x = (across * np.float32(self._cos) - along * np.float32(self._sin)) / length
        y = (across * np.float32(self._sin) + along * np.float32(self._cos)) / length
        return Normals(x, y, out / length)

    def shade(
        self,
        normals: Normals,
        color: Color,
        *,
        ambient: float = 0.5,
        gloss: float = 0.0,
        shininess: float = 24.0,
    ) -> FloatArray:
        """Return the colours of a surface under the scene's light, float32 (H, W, 3), not clipped.

        Args:
            normals: Normals of the surface.
            color: Colour of a flat sheet of it on the ground, (3,) or (H, W, 3).
            ambient: Share of ambient light, 0 to 1.
            gloss: Strength of the specular highlight; 0 is dull.
            shininess: Sharpness of the highlight.
        """
        x, y, z = (np.float32(part) for part in self.view.light)
        facing = np.clip(normals.x * x + normals.y * y + normals.z * z, 0, None) / z
        lit = (np.float32(ambient) + np.float32(1 - ambient) * facing)[..., None] * color
        if gloss:
            lit += (np.float32(gloss) * self.gleam(normals, shininess))[..., None]
        return np.asarray(lit, np.float32)

    def gleam(self, normals: Normals, shininess: float) -> FloatArray:
        """Return the specular highlight of a surface, float32 (H, W), 0 to 1."""
        x, y, z = self.view.light
        half = np.array([x, y, z + 1.0]) / np.sqrt(x * x + y * y + (z + 1.0) ** 2)
        a, b, c = half.astype(np.float32)
        facing = normals.x * a + normals.y * b + normals.z * c
        return np.asarray(np.clip(facing, 0, 1) ** np.float32(shininess), np.float32)

    def finish(self) -> Patch:
        """Return the object at the size of the scene, edges smoothed by averaging."""
        return Patch(
            np.stack([_shrink(plane, self.supersample) for plane in self._color], axis=-1),
            _shrink(self._opacity, self.supersample),
            _shrink(self._coverage, self.supersample),
        )

    def _to_board(self, points: PointsLike) -> list[tuple[float, float]]:
        uv = np.asarray(points, np.float64)
        x = (uv[:, 0] * self._cos - uv[:, 1] * self._sin) * self.unit_px + self._center_px
        y = (uv[:, 0] * self._sin + uv[:, 1] * self._cos) * self.unit_px + self._center_px
        return list(zip(x.tolist(), y.tolist(), strict=True))


def _read_plane(plane: Image.Image) -> FloatArray:
    return np.asarray(plane, np.float32) * np.float32(1 / 255)


def _shrink(plane: FloatArray, factor: int) -> FloatArray:
    # Adding strided views is several times faster than a mean over reshaped blocks.
    rows = reduce(np.add, [plane[row::factor] for row in range(factor)])
    total = reduce(np.add, [rows[:, column::factor] for column in range(factor)])
    return np.asarray(total * np.float32(1 / factor**2), np.float32)


def trace_ellipse(center: Pair, radii: Pair, *, turn_deg: float = 0) -> Points:
    """Return the outline of an ellipse as (48, 2) points."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    return np.stack([center[0] + x * cos - y * sin, center[1] + x * sin + y * cos], axis=1)


def trace_curve(points: PointsLike, *, closed: bool = True, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through ``points``, ``steps`` pieces between neighbours."""
    knots = np.asarray(points, np.float64)
    ends = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    knots = np.concatenate([ends[0], knots, ends[1]])
    part = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (knots[k : len(knots) - 3 + k, None, :] for k in range(4))
    curve = (
        start
        + 0.5 * part * (end - before)
        + part**2 * (before - 2.5 * start + 2 * end - 0.5 * after)
        + part**3 * (1.5 * (start - end) + 0.5 * (after - before))
    ).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def trace_blob(rng: Generator, radii: Pair, *, roughness: float, corners: int = 14) -> Points:
    """Return a closed uneven outline about the origin; ``roughness`` 0 is an ellipse."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    angle += rng.uniform(-0.5, 0.5, corners) * (2 * np.pi / corners) * 0.6
    reach = 1 + rng.uniform(-roughness, roughness, corners)
    return trace_curve(
        np.stack([radii[0] * reach * np.cos(angle), radii[1] * reach * np.sin(angle)], axis=1)
    )
