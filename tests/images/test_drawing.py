"""How results look: sizes, the colour of a known pixel, what the legend says."""

import numpy as np
import pytest
from PIL import ImageDraw

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.images.drawing import (
    OVERLAY_OPACITY,
    Comparison,
    color_mask,
    draw_comparisons,
    draw_labelled_overlay,
    draw_legend,
    draw_overlay,
    draw_overlay_layer,
)

PAPER, PLASTIC, BATTERY = 3, 7, 10
WHITE = [255, 255, 255]


def make_photo(height: int = 60, width: int = 80):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def make_mask(height: int = 60, width: int = 80):
    """Return Plastic in the rows 10 to 29 of the columns 20 to 59."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 20:60] = PLASTIC
    return mask


def has_color(image, color) -> bool:
    return bool((image == np.array(color, np.uint8)).all(-1).any())


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """Return the list that every text drawn is added to."""
    texts: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def note(self, xy, text, *args, **kwargs):
        texts.append(text)
        return draw(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return texts


def test_color_mask__colors_of_known_pixels():
    mask = np.array([[0, PAPER, BATTERY, 255]], np.uint8)
    colored = color_mask(mask, COMPETITION_TABLE)
    assert colored.dtype == np.uint8
    assert colored.tolist() == [[[0, 0, 0], [0, 128, 192], [64, 64, 128], WHITE]]


def test_draw_overlay__tints_objects_and_leaves_the_background():
    photo, mask = make_photo(), make_mask()
    overlay = draw_overlay(photo, mask, COMPETITION_TABLE)
    assert overlay.shape == photo.shape
    assert overlay.dtype == np.uint8
    tint = np.array(COMPETITION_TABLE.classes[PLASTIC].color_rgb)
    expected = photo[20, 40] * (1 - OVERLAY_OPACITY) + tint * OVERLAY_OPACITY
    np.testing.assert_allclose(overlay[20, 40], expected, atol=1)
    # All but the outline, which lies on the pixels above and left of where the class changes.
    outside = np.ones(mask.shape, np.bool_)
    outside[9:30, 19:60] = False
    np.testing.assert_array_equal(overlay[outside], photo[outside])


def test_draw_overlay__outline_is_where_the_class_changes():
    overlay = draw_overlay(np.zeros((60, 80, 3), np.uint8), make_mask(), COMPETITION_TABLE)
    is_white = (overlay == 255).all(-1)
    expected = np.zeros((60, 80), np.bool_)
    expected[9, 20:60] = expected[29, 20:60] = True
    expected[10:30, 19] = expected[10:30, 59] = True
    np.testing.assert_array_equal(is_white, expected)


def test_draw_overlay__no_objects_is_the_photo_itself():
    photo = make_photo()
    overlay = draw_overlay(photo, np.zeros((60, 80), np.uint8), COMPETITION_TABLE)
    np.testing.assert_array_equal(overlay, photo)
    all_ignored = np.full((60, 80), 255, np.uint8)
    np.testing.assert_array_equal(draw_overlay(photo, all_ignored, COMPETITION_TABLE), photo)


@pytest.mark.parametrize("band_pixels", [1, 700])
def test_draw_overlay__in_bands_is_the_same(monkeypatch, band_pixels):
    photo, mask = make_photo(), make_mask()
    whole = draw_overlay(photo, mask, COMPETITION_TABLE)
    monkeypatch.setattr("bunri.images.drawing._BAND_PIXELS", band_pixels)
    np.testing.assert_array_equal(draw_overlay(photo, mask, COMPETITION_TABLE), whole)


def test_draw_overlay__does_not_change_what_it_is_given():
    photo, mask = make_photo(), make_mask()
    before = photo.copy()
    draw_overlay(photo, mask, COMPETITION_TABLE)
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(mask, make_mask())


def test_draw_overlay__one_pixel():
    overlay = draw_overlay(
        np.full((1, 1, 3), 100, np.uint8), np.full((1, 1), PAPER, np.uint8), COMPETITION_TABLE
    )
    np.testing.assert_allclose(overlay, [[[45, 115, 150]]], atol=1)


def test_draw_overlay_layer__laid_over_the_photo_it_is_the_overlay():
    photo, mask = make_photo(), make_mask()
    mask[40:50, 5:9] = 255
    layer = draw_overlay_layer(mask, COMPETITION_TABLE)
    assert layer.shape == (60, 80, 4)
    assert layer.dtype == np.uint8
    colors, alpha = layer[..., :3], layer[..., 3]
    assert set(np.unique(alpha)) == {0, 255}
    overlay = draw_overlay(photo, mask, COMPETITION_TABLE)
    np.testing.assert_array_equal(overlay[alpha == 0], photo[alpha == 0])
    is_edge = (colors == 255).all(-1)
    np.testing.assert_array_equal(overlay[is_edge], np.full((is_edge.sum(), 3), 255))
    inside = (alpha == 255) & ~is_edge
    assert inside.sum() == 19 * 39  # 20 x 40, less its last row and column
    mixed = photo[inside] * (1 - OVERLAY_OPACITY) + colors[inside] * OVERLAY_OPACITY
    np.testing.assert_allclose(overlay[inside], mixed, atol=1)


@pytest.mark.parametrize("width", [120, 240, 640, 2000])
def test_draw_legend__names_and_colors_but_no_background(written, width):
    legend = draw_legend([0, PAPER, BATTERY], COMPETITION_TABLE, width)
    assert legend.shape[1:] == (width, 3)
    assert legend.dtype == np.uint8
    assert written == ["Paper", "Battery"]
    for index in (PAPER, BATTERY):
        assert has_color(legend, COMPETITION_TABLE.classes[index].color_rgb)
    assert not has_color(legend, COMPETITION_TABLE.classes[PLASTIC].color_rgb)


def test_draw_legend__as_many_rows_as_needed(written):
    every = range(len(COMPETITION_TABLE))
    narrow, wide = (draw_legend(every, COMPETITION_TABLE, width) for width in (160, 2000))
    assert narrow.shape[0] > 3 * wide.shape[0]
    assert written == 2 * list(COMPETITION_TABLE.names[1:])


@pytest.mark.parametrize("classes", [[], [0]])
def test_draw_legend__nothing_found(written, classes):
    legend = draw_legend(classes, COMPETITION_TABLE, 200)
    assert written == ["nothing found"]
    assert legend.shape[1] == 200


def test_draw_labelled_overlay__overlay_above_and_legend_below(written):
    photo, mask = make_photo(300, 400), np.zeros((300, 400), np.uint8)
    mask[50:100, 50:100], mask[200:, 200:] = PAPER, 255
    picture = draw_labelled_overlay(photo, mask, COMPETITION_TABLE)
    assert picture.shape[1] == 400
    assert picture.shape[0] > 300
    np.testing.assert_array_equal(picture[:300], draw_overlay(photo, mask, COMPETITION_TABLE))
    assert written == ["Paper"]


def test_draw_labelled_overlay__narrow_photo_on_a_wider_ground(written):
    photo, mask = make_photo(60, 80), make_mask()
    picture = draw_labelled_overlay(photo, mask, COMPETITION_TABLE)
    assert picture.shape[1] == 240
    np.testing.assert_array_equal(picture[:60, :80], draw_overlay(photo, mask, COMPETITION_TABLE))
    assert (picture[:60, 80:] == 255).all()
    assert written == ["Plastic"]


def test_draw_comparisons__size_titles_and_one_legend_for_all(written):
    photo = make_photo()
    paper = np.where(make_mask() > 0, PAPER, 0).astype(np.uint8)
    items = [Comparison(photo, make_mask(), paper), Comparison(photo, paper, paper)]
    picture = draw_comparisons(items, COMPETITION_TABLE, tile_px=100)
    assert picture.shape[1] == 3 * 100 + 4 * 6
    assert written == ["photo", "truth", "prediction", "Paper", "Plastic"]
    one = draw_comparisons(items[:1], COMPETITION_TABLE, tile_px=100)
    assert picture.shape[0] - one.shape[0] == 100 + 6


def test_draw_comparisons__photo_then_truth_then_prediction():
    photo = np.full((40, 40, 3), 77, np.uint8)
    truth, prediction = (np.full((40, 40), index, np.uint8) for index in (PAPER, BATTERY))
    picture = draw_comparisons(
        [Comparison(photo, truth, prediction)], COMPETITION_TABLE, tile_px=40
    )
    middle = 26 + 20
    columns = [6 + 20 + i * (40 + 6) for i in range(3)]
    found = [picture[middle, column].tolist() for column in columns]
    tinted = [draw_overlay(photo, m, COMPETITION_TABLE)[20, 20] for m in (truth, prediction)]
    assert found == [[77, 77, 77], tinted[0].tolist(), tinted[1].tolist()]


def test_draw_comparisons__large_photos_become_tiles():
    photo = np.full((600, 300, 3), 77, np.uint8)
    mask = np.zeros((600, 300), np.uint8)
    picture = draw_comparisons([Comparison(photo, mask, mask)], COMPETITION_TABLE, tile_px=100)
    row = picture[26 : 26 + 100, 6:106]
    assert (row[:, :50] == 77).all()
    assert (row[:, 50:] == 255).all()


def test_draw_comparisons__ignored_pixels_have_no_name(written):
    photo, truth = make_photo(), np.full((60, 80), 255, np.uint8)
    draw_comparisons([Comparison(photo, truth, make_mask())], COMPETITION_TABLE)
    assert written == ["photo", "truth", "prediction", "Plastic"]
