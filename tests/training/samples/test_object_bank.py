"""Objects cut out of training photos, and of no others."""

import numpy as np
import pytest
from PIL import Image

from bunri.labels.coco import read_coco
from bunri.training.samples.data import PhotoStore
from bunri.training.samples.object_bank import MIN_OBJECT_PX, cut_objects
from tests.builders import SHAPE_RGB, Shape, build_document, draw_photo, write_data, write_document

CLASSES = tuple(SHAPE_RGB)


class Drawn:
    """Photos in memory with given masks."""

    def __init__(self, *masks, pseudo=()):
        self._masks = [np.array(mask, np.uint8) for mask in masks]
        self._pseudo = pseudo

    def __len__(self):
        return len(self._masks)

    def list_classes(self):
        return [set(np.unique(mask).tolist()) - {0, 255} for mask in self._masks]

    def load(self, index):
        mask = self._masks[index]
        return np.repeat(mask[..., None] * 10 + index, 3, 2), mask

    def is_pseudo(self, index):
        return index in self._pseudo


def draw(size_px, *rectangles):
    """Return a square mask of (class, top, left, bottom, right)."""
    mask = np.zeros((size_px, size_px), np.uint8)
    for index, top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = index
    return mask


def open_store(tmp_path, *paths):
    sets = [read_coco(path) for path in paths]
    return PhotoStore(sets, "largest-first", 2**30)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def list_objects(bank):
    return [item for items in bank.values() for item in items]


def find_photo(item):
    """Return the number of the photo in :class:`Drawn` that an object is from."""
    return int(item.pixels[item.inside == 1][0, 0]) - 10 * item.class_index


# -- what is cut ---------------------------------------------------------------------------


def test_cut__every_object_with_its_colour(data, tmp_path):
    """Photos are 64 x 64 as the frame: each rectangle comes out as it was drawn."""
    bank = cut_objects(open_store(tmp_path, data.train), CLASSES, 64)
    expected = sorted(
        (s.class_index, s.bottom - s.top, s.right - s.left)
        for shapes in data.shapes["train"].values()
        for s in shapes
    )
    found = []
    for item in list_objects(bank):
        assert (item.pixels == SHAPE_RGB[item.class_index]).all()
        assert item.inside.all()
        assert item.pixels.shape[:2] == item.inside.shape
        found.append((item.class_index, *item.inside.shape))
    assert sorted(found) == expected


def test_cut__only_the_classes_asked_for(data, tmp_path):
    bank = cut_objects(open_store(tmp_path, data.train), [5], 64)
    assert set(bank) == {5}


def test_cut__at_the_scale_of_the_frame():
    (item,) = list_objects(cut_objects(Drawn(draw(128, (3, 20, 40, 60, 100))), [3], 64))
    assert item.inside.shape == (20, 30)


def test_cut__pieces_that_touch_at_a_corner_are_one_object():
    apart = draw(64, (3, 0, 0, 10, 10), (3, 11, 11, 21, 21))
    joined = draw(64, (3, 0, 0, 10, 10), (3, 10, 10, 20, 20))
    shapes = [
        [item.inside.shape for item in list_objects(cut_objects(Drawn(mask), [3], 64))]
        for mask in (apart, joined)
    ]
    assert shapes == [[(10, 10), (10, 10)], [(20, 20)]]


def test_cut__a_hole_and_what_is_in_it_stay_out():
    mask = draw(64, (3, 10, 10, 40, 40), (7, 20, 20, 30, 30))
    (item,) = list_objects(cut_objects(Drawn(mask), [3], 64))
    assert item.inside.shape == (30, 30)
    assert np.array_equal(item.inside == 0, mask[10:40, 10:40] == 7)


def test_cut__crumbs_are_left():
    assert MIN_OBJECT_PX == 64
    mask = draw(64, (3, 0, 0, 7, 9), (3, 30, 30, 38, 38), (5, 50, 0, 51, 63))
    bank = cut_objects(Drawn(mask), [3, 5], 64)
    assert [item.inside.shape for item in list_objects(bank)] == [(8, 8)]


def test_cut__memory_is_bounded_and_the_choice_fixed():
    """An object takes 20 * 20 * 4 = 1600 bytes; 4000 a class end with the third."""
    masks = [draw(64, (3, 0, 0, 20, 20), (5, 30, 30, 50, 50)) for _ in range(20)]
    first, second = (cut_objects(Drawn(*masks), [3, 5], 64, max_bytes=8000) for _ in range(2))
    assert {index: len(items) for index, items in first.items()} == {3: 3, 5: 3}
    photos = [[find_photo(item) for item in list_objects(bank)] for bank in (first, second)]
    assert photos[0] == photos[1]
    assert photos[0] != [0, 1, 2] * 2


def test_cut__cannot_be_changed(data, tmp_path):
    for item in list_objects(cut_objects(open_store(tmp_path, data.train), CLASSES, 64)):
        assert not item.pixels.flags.writeable
        assert not item.inside.flags.writeable


# -- from training alone -------------------------------------------------------------------


def test_bank__never_holds_a_pixel_of_a_photo_outside_training(tmp_path):
    """Objects of either file have one colour; the bank has the colour of training only."""
    colors = {"train": (200, 10, 10), "val": (10, 10, 200)}
    shape = Shape(5, 10, 10, 40, 40)
    paths = {}
    for part, color in colors.items():
        names = {f"{part}_{n}.png": [shape] for n in range(3)}
        for name in names:
            photo = np.array(draw_photo([], (64, 64)))
            photo[10:40, 10:40] = color
            Image.fromarray(photo).save(tmp_path / name)
        paths[part] = write_document(tmp_path / f"{part}.json", build_document(names, (64, 64)))
    bank = cut_objects(open_store(tmp_path, paths["train"]), [5], 64)
    assert len(bank[5]) == 3
    for item in bank[5]:
        assert (item.pixels == colors["train"]).all()


def test_cut__takes_nothing_from_pseudo_labels():
    masks = [draw(32, (3, 2, 2, 14, 14)), draw(32, (3, 2, 2, 14, 14))]
    objects = list_objects(cut_objects(Drawn(*masks, pseudo=(1,)), [3], 32))
    assert [find_photo(item) for item in objects] == [0]
