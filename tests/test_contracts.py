"""The shared words: errors that say enough, the class table, array checks."""

import numpy as np
import pytest

from bunri import contracts
from bunri.classes import COMPETITION_TABLE
from bunri.contracts import (
    BunriError,
    ClassInfo,
    ClassTable,
    ImageError,
    InputError,
    check_image,
    check_mask,
    drop_controls,
    suggest,
    summarize,
)


def make_table(*names: str) -> ClassTable:
    return ClassTable(tuple(ClassInfo(name, name, (i, 2 * i, 0)) for i, name in enumerate(names)))


def test_bunri_error__message_alone():
    assert str(BunriError("It is broken.")) == "It is broken."


def test_bunri_error__problems_and_hint_on_lines_of_their_own():
    error = BunriError("Two faults:", problems=["one", "two"], hint="Mend them.")
    assert str(error).splitlines() == ["Two faults:", "  - one", "  - two", "Mend them."]


def test_bunri_error__more_problems_than_shown_are_counted():
    lines = str(BunriError("Many:", problems=[f"p{i}" for i in range(23)])).splitlines()
    assert lines[1] == "  - p0"
    assert lines[20] == "  - p19"
    assert lines[21:] == ["  - ... and 3 more"]


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("ConfigError", "BunriError"),
        ("InputError", "BunriError"),
        ("AnnotationError", "InputError"),
        ("ImageError", "InputError"),
        ("SubmissionError", "InputError"),
        ("PathError", "InputError"),
        ("ModelError", "BunriError"),
        ("WeightsError", "ModelError"),
        ("RunError", "BunriError"),
        ("OutputError", "BunriError"),
        ("MissingExtraError", "BunriError"),
    ],
)
def test_errors__family_tree_of_the_docstring(child, parent):
    assert getattr(contracts, child).__bases__ == (getattr(contracts, parent),)


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


def test_suggest__nearest_words_and_all_that_are_allowed():
    text = suggest("papr", ["Paper", "Glass"])
    assert text == " Did you mean 'Paper'? Allowed: Paper, Glass."


def test_suggest__nothing_near():
    assert suggest("zzz", ["Paper", "Glass"]) == " Allowed: Paper, Glass."


def test_suggest__case_does_not_matter():
    assert "'Paper pack'" in suggest("PAPER PACK", ["Paper pack", "Glass"])


def test_suggest__long_lists_are_not_repeated():
    words = [f"word{i:02}" for i in range(17)]
    assert "Allowed" not in suggest("word03", words)
    assert "Allowed" in suggest("word03", words[:16])


def test_suggest__nothing_allowed():
    assert suggest("x", []) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("It broke."), "It broke"),
        (ValueError("first\nsecond"), "first"),
        (KeyError("a"), "'a'"),
        (ValueError(), "ValueError"),
    ],
)
def test_summarize__first_line_without_a_full_stop(error, expected):
    assert summarize(error) == expected


def test_check_image__good_array_is_given_back_itself():
    image = np.zeros((2, 5, 3), np.uint8)
    assert check_image(image) is image


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 5, 3), np.float32),
        np.zeros((2, 5), np.uint8),
        np.zeros((2, 5, 4), np.uint8),
        np.zeros((3, 2, 5), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((1, 2, 5, 3), np.uint8),
    ],
)
def test_check_image__wrong_type_or_shape(image):
    with pytest.raises(ImageError, match="must be uint8"):
        check_image(image)


def test_check_mask__all_classes_and_ignore_are_good():
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    assert check_mask(mask, 3) is mask


@pytest.mark.parametrize("value", [3, 4, 254])
def test_check_mask__value_outside_of_the_table(value):
    with pytest.raises(InputError, match=rf"below 3 or 255 \(ignore\); found \[{value}\]"):
        check_mask(np.array([[0, value]], np.uint8), 3)


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_check_mask__wrong_type_or_shape(mask):
    with pytest.raises(InputError, match="must be uint8"):
        check_mask(mask, 3)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Paper pack 종이팩 ♻", "Paper pack 종이팩 ♻"),
        ("\x1b[31mred\x07", "�[31mred�"),
        ("\u202egpj.exe\u2066", "�gpj.exe�"),
        ("a\u2028b\u200fc\ud800d\ne", "a�b�c�d�e"),
    ],
)
def test_drop_controls__replaces_what_steers(text, shown):
    assert drop_controls(text) == shown


def test_drop_controls__keeps_what_is_named():
    assert drop_controls("a\nb\tc", keep="\n") == "a\nb�c"
