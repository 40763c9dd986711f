"""Solid shapes: surfaces of revolution (bottles, cans) and boxes of flat faces (cartons)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray
from bunri.scenes.canvas import Canvas, Normals, Pair, Points, PointsLike

Corners = npt.NDArray[np.float64]  # (N, 3): x right, y away, z up, in an object's units


@dataclass(frozen=True, slots=True)
class Turned:
    """Projection of a surface of revolution about the object's v axis."""

    coverage: FloatArray  # of the whole silhouette, (H, W)
    across: FloatArray  # position across the axis, (H, W), -1 (left edge) to 1 (right edge)
    height: FloatArray  # position along the axis, (H, W), in units of v
    profile: Points  # (N, 3) rows of v, radius and shift of the axis along u
    roundness: float  # minor / major axis of a projected circle about the axis, 0 to 1

    def place(self, points: PointsLike) -> Points:
        """Return (u, v) of points on the skin, given as (angle in radians, v of the axis)."""
        skin = np.asarray(points, np.float64)
        radius = np.interp(skin[:, 1], self.profile[:, 0], self.profile[:, 1])
        shift = np.interp(skin[:, 1], self.profile[:, 0], self.profile[:, 2])
        u = shift + radius * np.sin(skin[:, 0])
        return np.stack([u, skin[:, 1] + self.roundness * radius * np.cos(skin[:, 0])], axis=1)

    def cut_band(self, top: float, bottom: float) -> FloatArray:
        """Return the coverage of the skin between two heights."""
        inside = (self.height >= top) & (self.height < bottom)
        return np.asarray(self.coverage * inside, np.float32)


def turn_profile(
    canvas: Canvas, profile: Sequence[Pair], roundness: float, sway: Sequence[float] | None = None
) -> Turned:
    """Turn a profile about the object's v axis; the face of the upper end is left out.

    Args:
        canvas: Board of the object.
        profile: (v, radius) from the upper to the lower end, interpolated smoothly.
        roundness: Minor / major axis of the projection of the end circles, 0 to 1.
        sway: Shift of the axis along u at each profile point, for crushed objects.
    """
    table = _ease_profile(profile, sway)
    v_knots, radii, shifts = table.T
    radius = np.interp(canvas.v, v_knots, radii).astype(np.float32)
    shift = np.interp(canvas.v, v_knots, shifts).astype(np.float32) if sway else np.float32(0)
    across = np.clip((canvas.u - shift) / np.maximum(radius, 1e-3), -1, 1)
    out = np.sqrt(1 - across * across)
    height = canvas.v - np.float32(roundness) * radius * out
    coverage = canvas.fill(_trace_turned(table, roundness))
    return Turned(coverage, across, height, table, roundness)


def _ease_profile(profile: Sequence[Pair], sway: Sequence[float] | None) -> Points:
    knots = np.column_stack([profile, sway if sway else np.zeros(len(profile))])
    part = np.linspace(0, 1, 10, endpoint=False)[:, None]
    eased = part * part * (3 - 2 * part)
    rows = []
    for start, end in pairwise(knots):
        row = start + (end - start) * eased
        row[:, 0] = start[0] + (end[0] - start[0]) * part[:, 0]
        rows.append(row)
    return np.concatenate([*rows, knots[-1:]])


def _trace_turned(table: Points, roundness: float) -> Points:
    v, radius, shift = table.T
    angle = np.linspace(0, np.pi, 25)
    top = np.stack(
        [shift[0] - radius[0] * np.cos(angle), v[0] - roundness * radius[0] * np.sin(angle)], axis=1
    )
    bottom = np.stack(
        [shift[-1] + radius[-1] * np.cos(angle), v[-1] + roundness * radius[-1] * np.sin(angle)],
        axis=1,
    )
    right = np.stack([shift + radius, v], axis=1)
    left = np.stack([shift - radius, v], axis=1)[::-1]
    return np.concatenate([top, right, bottom, left])


@dataclass(frozen=True, slots=True)
class Face:
    """Projection of a flat quadrilateral in space.

    Its own coordinates (s, t) run from 0 to 1, s along its first edge and t along its last.
    """

    corners: Points  # (u, v) of (0, 0), (1, 0), (1, 1) and (0, 1), (4, 2)
    normals: Normals  # arrays of shape (1, 1)
    is_front: bool  # its outer side is visible
    nearness: float  # larger is nearer to the viewer

    def place(self, points: PointsLike) -> Points:
        """Return (u, v) of points given as (s, t)."""
        st = np.asarray(points, np.float64)
        s, t = st[:, :1], st[:, 1:]
        first, second, third, fourth = self.corners
        upper = first + (second - first) * s
        lower = fourth + (third - fourth) * s
        return np.asarray(upper + (lower - upper) * t)

    def measure(self, canvas: Canvas) -> tuple[FloatArray, FloatArray]:
        """Return (s, t) of every pixel, each float32 (H, W), valid on the face."""
        origin = self.corners[0]
        edge_s, edge_t = self.corners[1] - origin, self.corners[3] - origin
        det = edge_s[0] * edge_t[1] - edge_s[1] * edge_t[0]
        det = det if abs(det) > 1e-6 else 1e-6
        u, v = canvas.u - np.float32(origin[0]), canvas.v - np.float32(origin[1])
        s = u * np.float32(edge_t[1] / det) - v * np.float32(edge_t[0] / det)
        t = v * np.float32(edge_s[0] / det) - u * np.float32(edge_s[1] / det)
        return np.asarray(s, np.float32), np.asarray(t, np.float32)


def see_faces(
    canvas: Canvas, faces: Sequence[Corners], *, yaw_deg: float, roll_deg: float = 0
) -> list[Face]:
    """Project flat faces with the scene's camera; their common middle becomes the origin.

    Args:
        canvas: Board of the object, which has the camera's tilt.
        faces: Corners of each face, (4, 3), counter-clockwise from outside, first edge on top.
        yaw_deg: Turn about the upright axis.
        roll_deg: Turn about the axis away from the viewer, made first; 90 lays a carton down.
    """
    tilt, yaw, roll = np.deg2rad([canvas.view.camera_tilt_deg, yaw_deg, roll_deg])
    turn_roll = np.array(
        [[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]]
    )
    turn_yaw = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    look = np.array(
        [[1, 0, 0], [0, -np.cos(tilt), -np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]]
    )
    seen = [np.asarray(face) @ (look @ turn_yaw @ turn_roll).T for face in faces]
    everything = np.concatenate(seen)[:, :2]
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2
    return [_see_face(canvas, corners, middle) for corners in seen]


def _see_face(canvas: Canvas, corners: Corners, middle: npt.NDArray[np.float64]) -> Face:
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    is_front = bool(normal[2] > 0)
    facing = (normal if is_front else -normal).astype(np.float32).reshape(3, 1, 1)
    normals = canvas.turn_normals(facing[0], facing[1], facing[2])
    return Face(corners[:, :2] - middle, normals, is_front, float(corners[:, 2].mean()))


def see_box(canvas: Canvas, box: dict[str, Corners], *, yaw_deg: float) -> dict[str, Face]:
    """Project the faces of :func:`build_box`; see :func:`see_faces`."""
    return dict(zip(box, see_faces(canvas, list(box.values()), yaw_deg=yaw_deg), strict=True))


def build_box(width: float, depth: float, height: float) -> dict[str, Corners]:
    """Return the faces of a box standing on z = 0: top, bottom, front, back, left, right."""
    x, y = width / 2, depth / 2
    low = [(-x, -y, 0.0), (x, -y, 0.0), (x, y, 0.0), (-x, y, 0.0)]
    high = [(a, b, height) for a, b, _ in low]
    order = {
        "top": (high[3], high[2], high[1], high[0]),
        "bottom": (low[0], low[1], low[2], low[3]),
        "front": (high[0], high[1], low[1], low[0]),
        "back": (high[2], high[3], low[3], low[2]),
        "left": (high[3], high[0], low[0], low[3]),
        "right": (high[1], high[2], low[2], low[1]),
    }
    return {name: np.array(corners) for name, corners in order.items()}
