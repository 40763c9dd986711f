"""The class table."""

import numpy as np
import pytest

from bunri.core.classes import ClassInfo, ClassTable
from bunri.core.errors import InputError
from bunri.core.waste_classes import COMPETITION_TABLE


def make_table(*names: str) -> ClassTable:
    return ClassTable(tuple(ClassInfo(name, name, (i, 2 * i, 0)) for i, name in enumerate(names)))


def test_class_table__length_and_names_in_index_order():
    table = make_table("Background", "Paper", "Glass")
    assert len(table) == 3
    assert table.names == ("Background", "Paper", "Glass")


@pytest.mark.parametrize("count", [0, 1, 256])
def test_class_table__too_few_or_too_many_classes(count):
    with pytest.raises(InputError, match=f"this one has {count}"):
        make_table(*(f"c{i}" for i in range(count)))


def test_class_table__most_classes_that_fit_beside_ignore():
    infos = tuple(ClassInfo(f"c{i}", "", (0, 0, 0)) for i in range(255))
    assert len(ClassTable(infos)) == 255


@pytest.mark.parametrize("second", ["Paper", "paper", " PAPER "])
def test_class_table__names_that_compare_equal_are_refused(second):
    with pytest.raises(InputError, match="must be unique"):
        make_table("Background", "Paper", second)


def test_palette_rgb__rows_are_mask_indices():
    palette = make_table("Background", "Paper", "Glass").palette_rgb
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert palette[2].tolist() == [2, 4, 0]
    assert palette[3].tolist() == [0, 0, 0]
    assert palette[255].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", ["Paper pack", "paper pack", "  PAPER PACK\n"])
def test_index_of__case_and_outer_spaces_do_not_matter(name):
    assert COMPETITION_TABLE.index_of(name) == 4


def test_index_of__unknown_name_lists_the_nearest():
    with pytest.raises(InputError, match=r"There is no class 'Plastik'. Did you mean 'Plastic'"):
        COMPETITION_TABLE.index_of("Plastik")


def test_to_json__round_trip():
    assert ClassTable.from_json(COMPETITION_TABLE.to_json()) == COMPETITION_TABLE


GOOD_ROW = {"name": "Paper", "name_ko": "종이", "color_rgb": [1, 2, 3]}


@pytest.mark.parametrize(
    "row",
    [
        {"name_ko": "종이", "color_rgb": [1, 2, 3]},
        GOOD_ROW | {"weight": 3},
        GOOD_ROW | {"color_rgb": 5},
        GOOD_ROW | {"color_rgb": [1, 2]},
        GOOD_ROW | {"color_rgb": [1, 2, 256]},
        GOOD_ROW | {"color_rgb": [1, 2, -1]},
        GOOD_ROW | {"color_rgb": [1, 2, 2.5]},
        GOOD_ROW | {"name": 5},
        GOOD_ROW | {"name": ["Paper"]},
        GOOD_ROW | {"name_ko": None},
        {"name": "Paper", "name_ko": "종이"},
        "Paper",
        None,
    ],
)
def test_from_json__bad_row(row):
    background = {"name": "Background", "name_ko": "", "color_rgb": [0, 0, 0]}
    assert len(ClassTable.from_json([background, GOOD_ROW])) == 2
    with pytest.raises(InputError):
        ClassTable.from_json([background, row])
