"""The table of drawings per class, with sizes and orientations, and the frequency of each class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from numpy.random import Generator

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.scenes.canvas import Canvas
from bunri.scenes.objects import (
    bags,
    carton,
    cloth,
    foam,
    glass,
    metal,
    paper,
    plastic,
    trash,
    unknown,
)

ANY_TURN_DEG = 180.0
UPRIGHT_DEG = 12.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of object of a class."""

    draw: Callable[[Canvas, Generator], None]  # paints the object
    share: tuple[float, float]  # least and greatest longest side, as a share of the photo's side
    max_turn_deg: float = ANY_TURN_DEG  # in either direction; what is seen obliquely stays upright
    thickness: float = 0.1  # height as a share of the longest side, for the shadow


# Share of real photos that show the class, and its kinds of objects.
_CLASSES: Mapping[str, tuple[float, tuple[Variant, ...]]] = {
    "UNKNOWN": (0.03, (
        Variant(unknown.draw_tangle, (0.16, 0.32), thickness=0.2),
        Variant(unknown.draw_lump, (0.14, 0.3), thickness=0.25),
        Variant(unknown.draw_broken_part, (0.14, 0.3), thickness=0.1),
    )),
    "General trash": (0.41, (
        Variant(trash.draw_cup_noodle, (0.18, 0.36), 25, thickness=0.4),
        Variant(trash.draw_snack_wrapper, (0.2, 0.4), thickness=0.08),
        Variant(trash.draw_tissue, (0.1, 0.26), thickness=0.15),
        Variant(trash.draw_toothbrush, (0.2, 0.4), thickness=0.05),
        Variant(trash.draw_face_mask, (0.18, 0.38), thickness=0.05),
    )),
    "Paper": (0.53, (
        Variant(paper.draw_closed_box, (0.3, 0.45), UPRIGHT_DEG, thickness=0.35),
        Variant(paper.draw_open_box, (0.32, 0.45), UPRIGHT_DEG, thickness=0.35),
        Variant(paper.draw_text_sheet, (0.22, 0.42), thickness=0.03),
        Variant(paper.draw_newspaper, (0.28, 0.45), thickness=0.04),
        Variant(paper.draw_flat_cardboard, (0.25, 0.45), thickness=0.04),
    )),
    "Paper pack": (0.12, (
        Variant(carton.draw_milk_carton, (0.2, 0.4), UPRIGHT_DEG, thickness=0.35),
        Variant(carton.draw_juice_brick, (0.14, 0.3), UPRIGHT_DEG, thickness=0.35),
    )),
    "Metal": (0.09, (
        Variant(metal.draw_drink_can, (0.16, 0.34), thickness=0.25),
        Variant(metal.draw_crushed_can, (0.14, 0.3), thickness=0.18),
        Variant(metal.draw_tin, (0.15, 0.3), 30, thickness=0.3),
        Variant(metal.draw_foil, (0.12, 0.26), thickness=0.12),
    )),
    "Glass": (0.06, (
        Variant(glass.draw_glass_bottle, (0.3, 0.45), thickness=0.16),
        Variant(glass.draw_jar, (0.16, 0.3), 40, thickness=0.3),
        Variant(glass.draw_glass_shards, (0.2, 0.32), thickness=0.16),
    )),
    "Plastic": (0.33, (
        Variant(plastic.draw_pet_bottle, (0.28, 0.45), thickness=0.18),
        Variant(plastic.draw_drink_cup, (0.2, 0.38), thickness=0.22),
        Variant(plastic.draw_food_tray, (0.22, 0.4), thickness=0.08),
        Variant(plastic.draw_detergent_bottle, (0.26, 0.42), thickness=0.2),
    )),
    "Styrofoam": (0.16, (
        Variant(foam.draw_foam_box, (0.32, 0.45), UPRIGHT_DEG, thickness=0.3),
        Variant(foam.draw_meat_tray, (0.22, 0.38), thickness=0.08),
        Variant(foam.draw_packing_block, (0.22, 0.4), UPRIGHT_DEG, thickness=0.25),
        Variant(foam.draw_foam_chunk, (0.14, 0.34), thickness=0.12),
    )),
    "Plastic bag": (0.57, (
        Variant(bags.draw_carrier_bag, (0.3, 0.45), thickness=0.07),
        Variant(bags.draw_knotted_bag, (0.26, 0.45), thickness=0.28),
        Variant(bags.draw_film_sheet, (0.25, 0.45), thickness=0.04),
        Variant(bags.draw_roll_bag, (0.22, 0.42), thickness=0.05),
    )),
    "Battery": (0.01, (
        Variant(metal.draw_cell, (0.1, 0.22), thickness=0.15),
        Variant(metal.draw_block_battery, (0.09, 0.18), UPRIGHT_DEG, thickness=0.3),
    )),
    "Clothing": (0.035, (
        Variant(cloth.draw_shirt, (0.32, 0.45), thickness=0.04),
        Variant(cloth.draw_trousers, (0.32, 0.45), thickness=0.05),
        Variant(cloth.draw_sock, (0.18, 0.34), thickness=0.05),
        Variant(cloth.draw_glove, (0.18, 0.32), thickness=0.06),
    )),
}  # fmt: skip
VARIANTS = {COMPETITION_TABLE.index_of(name): kinds for name, (_, kinds) in _CLASSES.items()}
"""Kinds of objects by mask index."""
PHOTO_SHARES = {COMPETITION_TABLE.index_of(name): share for name, (share, _) in _CLASSES.items()}
"""Share of real photos that show a class, by mask index."""
