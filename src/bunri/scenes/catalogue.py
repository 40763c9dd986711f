"""Which things stand for which class, how large they are and how they may lie.

Owns the table from mask index to drawings and how common each class is. Knows nothing of
how a thing is drawn or where it is put.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.scenes.canvas import Canvas
from bunri.scenes.objects.bags import (
    draw_carrier_bag,
    draw_film_sheet,
    draw_knotted_bag,
    draw_roll_bag,
)
from bunri.scenes.objects.carton import draw_juice_brick, draw_milk_carton
from bunri.scenes.objects.cloth import draw_glove, draw_shirt, draw_sock, draw_trousers
from bunri.scenes.objects.foam import (
    draw_foam_box,
    draw_foam_chunk,
    draw_meat_tray,
    draw_packing_block,
)
from bunri.scenes.objects.glass import draw_glass_bottle, draw_glass_shards, draw_jar
from bunri.scenes.objects.metal import (
    draw_block_battery,
    draw_cell,
    draw_crushed_can,
    draw_drink_can,
    draw_foil,
    draw_tin,
)
from bunri.scenes.objects.paper import (
    draw_closed_box,
    draw_flat_cardboard,
    draw_newspaper,
    draw_open_box,
    draw_text_sheet,
)
from bunri.scenes.objects.plastic import (
    draw_detergent_bottle,
    draw_drink_cup,
    draw_food_tray,
    draw_pet_bottle,
)
from bunri.scenes.objects.trash import (
    draw_cup_noodle,
    draw_face_mask,
    draw_snack_wrapper,
    draw_tissue,
    draw_toothbrush,
)
from bunri.scenes.objects.unknown import draw_broken_part, draw_lump, draw_tangle

ANY_TURN_DEG = 180.0
UPRIGHT_DEG = 12.0


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that stands for a class.

    Attributes:
        draw: Paints it on a canvas.
        share: Least and greatest longest side, as a share of the photo's side.
        max_turn_deg: How far it may be turned either way; things seen obliquely stay upright.
        thickness: How high it stands by its longest side; sets the shadow.
    """

    draw: Callable[[Canvas], None]
    share: tuple[float, float]
    max_turn_deg: float = ANY_TURN_DEG
    thickness: float = 0.1


def _index(name: str) -> int:
    return COMPETITION_TABLE.index_of(name)


VARIANTS: Mapping[int, tuple[Variant, ...]] = {
    _index("UNKNOWN"): (
        Variant(draw_tangle, (0.16, 0.32), thickness=0.2),
        Variant(draw_lump, (0.14, 0.3), thickness=0.25),
        Variant(draw_broken_part, (0.14, 0.3), thickness=0.1),
    ),
    _index("General trash"): (
        Variant(draw_cup_noodle, (0.18, 0.36), 25, thickness=0.4),
        Variant(draw_snack_wrapper, (0.2, 0.4), thickness=0.08),
        Variant(draw_tissue, (0.1, 0.26), thickness=0.15),
        Variant(draw_toothbrush, (0.2, 0.4), thickness=0.05),
        Variant(draw_face_mask, (0.18, 0.38), thickness=0.05),
    ),
    _index("Paper"): (
        Variant(draw_closed_box, (0.3, 0.45), UPRIGHT_DEG, thickness=0.35),
        Variant(draw_open_box, (0.32, 0.45), UPRIGHT_DEG, thickness=0.35),
        Variant(draw_text_sheet, (0.22, 0.42), thickness=0.03),
        Variant(draw_newspaper, (0.28, 0.45), thickness=0.04),
        Variant(draw_flat_cardboard, (0.25, 0.45), thickness=0.04),
    ),
    _index("Paper pack"): (
        Variant(draw_milk_carton, (0.2, 0.4), UPRIGHT_DEG, thickness=0.35),
        Variant(draw_juice_brick, (0.14, 0.3), UPRIGHT_DEG, thickness=0.35),
    ),
    _index("Metal"): (
        Variant(draw_drink_can, (0.16, 0.34), thickness=0.25),
        Variant(draw_crushed_can, (0.14, 0.3), thickness=0.18),
        Variant(draw_tin, (0.15, 0.3), 30, thickness=0.3),
        Variant(draw_foil, (0.12, 0.26), thickness=0.12),
    ),
    _index("Glass"): (
        Variant(draw_glass_bottle, (0.3, 0.45), thickness=0.16),
        Variant(draw_jar, (0.16, 0.3), 40, thickness=0.3),
        Variant(draw_glass_shards, (0.2, 0.32), thickness=0.16),
    ),
    _index("Plastic"): (
        Variant(draw_pet_bottle, (0.28, 0.45), thickness=0.18),
        Variant(draw_drink_cup, (0.2, 0.38), thickness=0.22),
        Variant(draw_food_tray, (0.22, 0.4), thickness=0.08),
        Variant(draw_detergent_bottle, (0.26, 0.42), thickness=0.2),
    ),
    _index("Styrofoam"): (
        Variant(draw_foam_box, (0.32, 0.45), UPRIGHT_DEG, thickness=0.3),
        Variant(draw_meat_tray, (0.22, 0.38), thickness=0.08),
        Variant(draw_packing_block, (0.22, 0.4), UPRIGHT_DEG, thickness=0.25),
        Variant(draw_foam_chunk, (0.14, 0.34), thickness=0.12),
    ),
    _index("Plastic bag"): (
        Variant(draw_carrier_bag, (0.3, 0.45), thickness=0.07),
        Variant(draw_knotted_bag, (0.26, 0.45), thickness=0.28),
        Variant(draw_film_sheet, (0.25, 0.45), thickness=0.04),
        Variant(draw_roll_bag, (0.22, 0.42), thickness=0.05),
    ),
    _index("Battery"): (
        Variant(draw_cell, (0.1, 0.22), thickness=0.15),
        Variant(draw_block_battery, (0.09, 0.18), UPRIGHT_DEG, thickness=0.3),
    ),
    _index("Clothing"): (
        Variant(draw_shirt, (0.32, 0.45), thickness=0.04),
        Variant(draw_trousers, (0.32, 0.45), thickness=0.05),
        Variant(draw_sock, (0.18, 0.34), thickness=0.05),
        Variant(draw_glove, (0.18, 0.32), thickness=0.06),
    ),
}
"""Mask index to the things that stand for the class."""

PHOTO_SHARES: Mapping[int, float] = {
    _index("UNKNOWN"): 0.03,
    _index("General trash"): 0.41,
    _index("Paper"): 0.53,
    _index("Paper pack"): 0.12,
    _index("Metal"): 0.09,
    _index("Glass"): 0.06,
    _index("Plastic"): 0.33,
    _index("Styrofoam"): 0.16,
    _index("Plastic bag"): 0.57,
    _index("Battery"): 0.01,
    _index("Clothing"): 0.035,
}
"""Mask index to the share of real photos in which the class is seen."""
