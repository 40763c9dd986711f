"""Drawings of Paper pack: gable-top milk cartons and drink bricks."""

import numpy as np
from numpy.random import Generator

from bunri.scenes.canvas import Canvas, trace_ellipse
from bunri.scenes.colors import Color, make_gray, pick_color
from bunri.scenes.lettering import print_word, trace_text_lines
from bunri.scenes.materials import paint_board
from bunri.scenes.solids import Corners, Face, build_box, see_box, see_faces


def draw_milk_carton(canvas: Canvas, rng: Generator) -> None:
    """Draw a gable-top carton, upright or lying, with its print."""
    side, height = 0.7, rng.uniform(0.9, 1.2)
    shapes = _build_gable(side, height, roof=0.4, fin=0.17)
    roll_deg = 90 if rng.random() < 0.5 else 0
    yaw_deg = rng.uniform(20, 70) + 90 * int(rng.integers(4))
    faces = see_faces(canvas, shapes, yaw_deg=yaw_deg, roll_deg=roll_deg)
    board = make_gray(rng.uniform(0.9, 0.97))
    ink = pick_color(rng, saturation=(0.6, 0.95), value=(0.4, 0.85))
    order = sorted(range(len(faces)), key=lambda index: faces[index].nearness)
    for index in order:
        face = faces[index]
        is_fin = index >= 9
        if not face.is_front and not is_fin:
            continue
        paint_board(canvas, face, ink if 5 <= index < 9 else board)
        if index < 4:
            _print_carton_side(canvas, rng, face, ink)
        elif is_fin:
            seam = face.place([(0.0, 0.35), (1.0, 0.35)])
            canvas.paint(canvas.stroke(seam, width=0.012), make_gray(0.5), 0.7)
    canvas.mottle(1 + 0.04 * canvas.noise(rng, 0.3, octaves=2))


def _build_gable(side: float, height: float, *, roof: float, fin: float) -> list[Corners]:
    # Faces: four walls, the base, two sloping panels, two tucked gables, the fin on the ridge.
    boxed = build_box(side, side, height)
    h = side / 2
    ridge = height + roof
    walls = [boxed[n] for n in ("front", "right", "back", "left")]
    front = np.array([(-h, 0, ridge), (h, 0, ridge), (h, -h, height), (-h, -h, height)])
    back = np.array([(h, 0, ridge), (-h, 0, ridge), (-h, h, height), (h, h, height)])
    inset = 0.55 * h
    right = np.array([(inset, 0, ridge), (inset, 0, ridge), (h, h, height), (h, -h, height)])
    left = np.array([(-inset, 0, ridge), (-inset, 0, ridge), (-h, -h, height), (-h, h, height)])
    right[[0, 1]] += [(0, -0.01, 0), (0, 0.01, 0)]
    left[[0, 1]] += [(0, 0.01, 0), (0, -0.01, 0)]
    top = np.array([(-h, 0, ridge + fin), (h, 0, ridge + fin), (h, 0, ridge), (-h, 0, ridge)])
    return [*walls, boxed["bottom"], front, back, right, left, top]


def _print_carton_side(canvas: Canvas, rng: Generator, face: Face, ink: Color) -> None:
    wave = [(s, 0.68 + 0.06 * np.sin(6 * s + 1)) for s in np.linspace(0, 1, 12)]
    canvas.paint(canvas.fill(face.place([*wave, (1, 1), (0, 1)])), ink, 0.9)
    print_word(canvas, "MILK", (0.12, 0.12, 0.76, 0.16), ink, width=0.05, place=face.place)
    dot = pick_color(rng, saturation=(0.3, 0.9), value=(0.7, 1.0))
    canvas.paint(canvas.fill(face.place(trace_ellipse((0.5, 0.5), (0.24, 0.12)))), dot, 0.9)
    lines = trace_text_lines(rng, 3, (0.12, 0.8, 0.76, 0.15), face.place)
    canvas.paint(canvas.stroke(*lines, width=0.014), make_gray(0.95), 0.8)


def draw_juice_brick(canvas: Canvas, rng: Generator) -> None:
    """Draw a small brick-shaped drink pack with a straw hole or a straw in it."""
    boxed = build_box(0.9, 0.62, rng.uniform(1.2, 1.5))
    faces = see_box(canvas, boxed, yaw_deg=rng.uniform(-60, 60))
    ink = pick_color(rng, saturation=(0.5, 0.95), value=(0.5, 0.95))
    fruit = pick_color(rng, hue=(-0.03, 0.35), saturation=(0.7, 1.0), value=(0.7, 1.0))
    for name in ("left", "right", "front", "back", "top"):
        face = faces[name]
        if not face.is_front:
            continue
        paint_board(canvas, face, make_gray(0.93) if name == "top" else ink)
        if name == "top":
            flap = face.place([(0.0, 0.5), (1.0, 0.5)])
            canvas.paint(canvas.stroke(flap, width=0.03), make_gray(0.75))
            _add_straw(canvas, rng, face, has_straw=rng.random() < 0.6)
            continue
        panel = [(0, 0.12), (1, 0.12), (1, 0.36), (0, 0.36)]
        canvas.paint(canvas.fill(face.place(panel)), make_gray(0.96))
        print_word(canvas, "JUICE", (0.12, 0.165, 0.76, 0.15), ink, width=0.035, place=face.place)
        for s, t in ((0.4, 0.62), (0.62, 0.7)):
            berry = face.place(trace_ellipse((s, t), (0.2, 0.12)))
            canvas.paint(canvas.fill(berry), fruit)
            shine = face.place(trace_ellipse((s - 0.05, t - 0.04), (0.05, 0.03)))
            canvas.paint(canvas.fill(shine), make_gray(1.0), 0.6)
    canvas.mottle(1 + 0.04 * canvas.noise(rng, 0.3, octaves=2))


def _add_straw(canvas: Canvas, rng: Generator, face: Face, *, has_straw: bool) -> None:
    hole = face.place(trace_ellipse((0.75, 0.7), (0.06, 0.09)))
    canvas.paint(canvas.fill(hole), make_gray(0.55))
    if has_straw:
        foot = hole.mean(axis=0)
        lean = rng.uniform(-0.15, 0.15)
        path = np.add(foot, [(0, 0), (lean, -0.26), (lean + 0.16, -0.34)])
        canvas.paint(canvas.stroke(path, width=0.055), make_gray(0.7))
        canvas.paint(canvas.stroke(path, width=0.03), make_gray(0.97))
