"""Which class table a list of names means."""

import numpy as np
import pytest

from bunri.core.errors import InputError
from bunri.core.waste_classes import COMPETITION_TABLE, choose_class_table, draw_distinct_colors
from tests.coco_data import NAMES_2021, NAMES_LATER


def test_competition_table__names_and_order():
    assert COMPETITION_TABLE.names == ("Background", *NAMES_2021)


def test_competition_table__general_trash_is_2_and_clothing_11():
    assert COMPETITION_TABLE.index_of("General trash") == 2
    assert COMPETITION_TABLE.index_of("Clothing") == 11


def test_competition_table__every_object_says_where_it_goes_in_both_languages():
    for info in COMPETITION_TABLE.classes[1:]:
        assert info.bin
        assert info.bin_ko
        assert info.reason
        assert info.reason_ko
        assert info.name_ko


def test_competition_table__colors_differ_and_only_the_background_is_black():
    colors = [info.color_rgb for info in COMPETITION_TABLE.classes]
    assert len(set(colors)) == 12
    assert colors.index((0, 0, 0)) == 0


@pytest.mark.parametrize("names", [NAMES_2021, NAMES_LATER], ids=["2021", "later"])
def test_choose_class_table__both_cohorts_mean_the_competitions(names):
    assert choose_class_table(names) is COMPETITION_TABLE


@pytest.mark.parametrize("name", ["Background", "Backgroud", "BACKGROUND "])
def test_choose_class_table__a_background_among_the_names_changes_nothing(name):
    assert choose_class_table([name, *NAMES_LATER]) is COMPETITION_TABLE
    assert choose_class_table(["Can", name, "Cup"]).names == ("Background", "Can", "Cup")


def test_choose_class_table__order_and_case_of_the_names_do_not_matter():
    assert choose_class_table([n.upper() for n in reversed(NAMES_2021)]) is COMPETITION_TABLE


def test_choose_class_table__other_names_make_a_table_in_the_order_given():
    table = choose_class_table(["Zebra", "Ant", "콜라 캔"])
    assert table.names == ("Background", "Zebra", "Ant", "콜라 캔")
    assert table.classes[0] == COMPETITION_TABLE.classes[0]
    assert len({info.color_rgb for info in table.classes}) == 4


@pytest.mark.parametrize("names", [NAMES_2021[:-1], NAMES_LATER[1:], (*NAMES_2021, "Wood")])
def test_choose_class_table__one_name_too_few_or_too_many_is_another_table(names):
    table = choose_class_table(names)
    assert table.names == ("Background", *names)


@pytest.mark.parametrize("names", [[], ["Background"]])
def test_choose_class_table__no_foreground(names):
    with pytest.raises(InputError, match="this one has 1"):
        choose_class_table(names)


def test_choose_class_table__too_many():
    with pytest.raises(InputError, match="this one has 256"):
        choose_class_table([f"c{i}" for i in range(255)])


@pytest.mark.parametrize(
    "names",
    [["Can", "Cup", "Can"], [*NAMES_2021, "Paper"], [*NAMES_LATER, "glass "]],
    ids=["own", "2021", "later"],
)
def test_choose_class_table__one_name_given_twice(names):
    with pytest.raises(InputError, match="must be unique"):
        choose_class_table(names)


def test_draw_distinct_colors__first_rows_of_the_voc_color_map():
    assert draw_distinct_colors(8) == [
        (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
        (128, 128, 128), (64, 0, 0),
    ]  # fmt: skip


def test_draw_distinct_colors__all_differ_and_none_is_black():
    colors = draw_distinct_colors(254)
    assert len(set(colors)) == 254
    assert (0, 0, 0) not in colors
    assert np.array(colors).min() >= 0
    assert np.array(colors).max() <= 255
