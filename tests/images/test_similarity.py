"""Copies are found whatever was done to them; different photos are left alone."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from bunri.core.errors import ImageError
from bunri.images.photos import read_photo
from bunri.images.similarity import MIN_SIMILARITY, Twins, find_twins, fingerprint_photo
from bunri.labels.coco import read_coco
from bunri.scenes import render_scene

TURNS = list(Image.Transpose)


@pytest.fixture(scope="module")
def scenes():
    """Twelve different photos of 128 x 128."""
    return [render_scene(seed, 128).image for seed in range(12)]


@pytest.fixture(scope="module")
def prints(scenes):
    return [fingerprint_photo(image) for image in scenes]


def crop(image, left=0.0, top=0.0, right=0.0, bottom=0.0):
    """Cut off shares of the sides."""
    height, width = image.shape[:2]
    rows = slice(round(top * height), height - round(bottom * height))
    return image[rows, round(left * width) : width - round(right * width)]


def resize(image, scale):
    picture = Image.fromarray(image)
    size = (round(picture.width * scale), round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def encode(image, quality):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content))


def brighten(image, factor=1.2):
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))


def turn(image, method):
    return np.asarray(Image.fromarray(image).transpose(method))


EDITS: dict[str, Callable[..., Any]] = {
    "half the size": lambda image: resize(image, 0.5),
    "double the size": lambda image: resize(image, 2),
    "squeezed": lambda image: image[:, ::2],
    "encoded again": lambda image: encode(image, 50),
    "brighter by a fifth": brighten,
    "brighter by 51 levels": lambda image: np.minimum(image.astype(int) + 51, 255).astype(np.uint8),
    "darker": lambda image: brighten(image, 0.8),
    "grey": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "a tenth off the left": lambda image: crop(image, left=0.1),
    "a tenth off the bottom": lambda image: crop(image, bottom=0.1),
    "a tenth off, off the middle": lambda image: crop(image, 0.03, 0.08, 0.07, 0.02),
    "a tenth off each edge": lambda image: crop(image, 0.1, 0.1, 0.1, 0.1),
    **{method.name.lower(): partial(turn, method=method) for method in TURNS},
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_find_twins__an_edited_copy_is_found_and_nothing_else(name, scenes, prints):
    copies = [fingerprint_photo(EDITS[name](scenes[place])) for place in (0, 5, 11)]
    twins = find_twins(prints, copies)
    assert [(pair.first, pair.second) for pair in twins] == [(0, 0), (5, 1), (11, 2)]
    assert all(not pair.is_exact and MIN_SIMILARITY <= pair.similarity <= 1 for pair in twins)
    back = find_twins(copies, prints)
    assert [(pair.second, pair.first) for pair in back] == [(0, 0), (5, 1), (11, 2)]


@pytest.mark.parametrize("method", [None, *TURNS])
@pytest.mark.parametrize("scale", [0.5, 2])
def test_find_twins__all_edits_together(method, scale, scenes, prints):
    copies = []
    for image in scenes:
        copy = crop(image, 0.1, 0.0, 0.0, 0.1)
        copy = copy if method is None else turn(copy, method)
        copies.append(fingerprint_photo(encode(brighten(resize(copy, scale)), 50)))
    found = [(pair.first, pair.second) for pair in find_twins([*prints, *copies])]
    assert found == [(place, place + 12) for place in range(12)]


def test_find_twins__different_scenes_are_not_twins(prints):
    assert find_twins(prints) == []
    assert find_twins(prints[:6], prints[6:]) == []


def test_find_twins__equal_pixels(prints):
    a, b = prints[:2]
    exact = [Twins(0, 1, True, 1.0), Twins(0, 3, True, 1.0), Twins(1, 3, True, 1.0)]
    assert find_twins([a, a, b, a]) == exact
    assert find_twins([b, a], [a, a]) == [Twins(1, 0, True, 1.0), Twins(1, 1, True, 1.0)]


def test_find_twins__a_copy_of_equal_photos_is_the_twin_of_each(scenes, prints):
    copy = fingerprint_photo(encode(scenes[0], 50))
    twins = find_twins([prints[0], copy, prints[0]])
    assert [(t.first, t.second, t.is_exact) for t in twins] == [
        (0, 1, False), (0, 2, True), (1, 2, False),
    ]  # fmt: skip


def test_find_twins__nothing_to_compare(prints):
    assert find_twins([]) == []
    assert find_twins([], prints) == []
    assert find_twins(prints, []) == []


@pytest.mark.parametrize("num_others", [None, 0, 3, 12])
def test_find_twins__counts_each_photo_once(num_others, prints):
    calls = []
    others = None if num_others is None else prints[:num_others]
    find_twins(prints[:5], others, lambda: calls.append(1))
    assert len(calls) == 5


def test_find_twins__the_copy_may_be_the_larger_part_of_either_side(scenes, prints):
    copy = fingerprint_photo(crop(scenes[3], top=0.1))
    assert [(t.first, t.second) for t in find_twins([prints[3]], [copy])] == [(0, 0)]
    assert [(t.first, t.second) for t in find_twins([copy], [prints[3]])] == [(0, 0)]


# -- photos with little in them ----------------------------------------------------------------


def plain(color, size_hw=(64, 80)):
    return np.full((*size_hw, 3), color, np.uint8)


def shade(across, down, base=120):
    """Return a blank wall that is lit from somewhere."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    return np.repeat((base + across * x + down * y)[..., None].astype(np.uint8), 3, axis=2)


def test_find_twins__plain_photos_are_twins_only_if_their_pixels_are_equal():
    walls = [plain(90), plain(91), plain((90, 0, 0)), plain(0), plain(255), plain(90, (80, 64))]
    prints = [fingerprint_photo(wall) for wall in walls]
    assert find_twins(prints) == []
    assert find_twins(prints, prints[:1]) == [Twins(0, 0, True, 1.0)]


def test_find_twins__lit_walls_are_not_all_the_same():
    walls = [shade(60, 0), shade(-60, 0), shade(0, 60), shade(50, 20), shade(60, 0, base=100)]
    assert find_twins([fingerprint_photo(wall) for wall in walls]) == []


def draw_boxes(*boxes, ground=(90, 140, 90)):
    """Draw (left, top, right, bottom, colour) on a plain ground of 96 x 96."""
    picture = Image.new("RGB", (96, 96), ground)
    for *box, color in boxes:
        ImageDraw.Draw(picture).rectangle(box, color)
    return np.asarray(picture)


LEFT = (8, 20, 32, 60)
WHITE, RED = (235, 235, 235), (200, 30, 30)


def test_find_twins__one_thing_in_common_is_not_enough():
    first = draw_boxes((*LEFT, WHITE), (60, 30, 80, 70, RED))
    moved = draw_boxes((*LEFT, WHITE), (60, 50, 80, 90, RED))
    alone = draw_boxes((*LEFT, WHITE))
    assert find_twins([fingerprint_photo(image) for image in (first, moved, alone)]) == []


def test_find_twins__the_same_layout_in_other_colours_is_another_photo():
    # Red and blue of the same brightness: in grey nothing tells them apart.
    images = [
        draw_boxes((*LEFT, WHITE), (50, 30, 85, 80, c)) for c in ((200, 30, 30), (4, 90, 214))
    ]
    assert find_twins([fingerprint_photo(image) for image in images]) == []


def test_find_twins__noise_is_not_a_twin_of_other_noise():
    rng = np.random.default_rng(0)
    prints = [fingerprint_photo(rng.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(8)]
    assert find_twins(prints) == []


# -- fingerprints ------------------------------------------------------------------------------


def test_fingerprint_photo__hash_of_pixels_and_size():
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    first = fingerprint_photo(image)
    assert first.pixel_hash == fingerprint_photo(image.copy()).pixel_hash
    assert first.pixel_hash != fingerprint_photo(image.reshape(4, 3, 3)).pixel_hash
    changed = image.copy()
    changed[2, 3, 2] += 1
    assert first.pixel_hash != fingerprint_photo(changed).pixel_hash
    assert len(first.pixel_hash) == 64


def test_fingerprint_photo__a_view_into_an_array_is_as_good_as_a_copy(scenes):
    mirrored = scenes[0][:, ::-1]
    kept, copied = fingerprint_photo(mirrored), fingerprint_photo(mirrored.copy())
    assert kept.pixel_hash == copied.pixel_hash
    np.testing.assert_array_equal(kept.luma, copied.luma)


def test_fingerprint_photo__is_small(prints):
    assert prints[0].luma.nbytes + prints[0].chroma.nbytes < 4096


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_find_twins__tiny_and_thin_photos(size_hw, prints):
    rng = np.random.default_rng(1)
    tiny = fingerprint_photo(rng.integers(0, 256, (*size_hw, 3), np.uint8))
    assert find_twins([tiny, *prints[:3]]) == []


def test_fingerprint_photo__what_is_no_photo():
    with pytest.raises(ImageError, match="uint8"):
        fingerprint_photo(np.zeros((4, 4), np.uint8))


# -- real photos -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(photos):
    """Fingerprints of the real photos by file."""
    files = {
        "train": "recycle_trash/train.json",
        "val": "recycle_trash/val.json",
        "test": "recycle_trash/test.json",
        "household": "household_objects/train.json",
    }
    sets = {name: read_coco(photos / path) for name, path in files.items()}
    return {
        name: {p.file_name: fingerprint_photo(read_photo(data.path_of(p))) for p in data.photos}
        for name, data in sets.items()
    }


@pytest.mark.photos
def test_find_twins__real_photos(real, photos):
    names = [(key, name) for key, part in real.items() for name in part]
    prints = [item for part in real.values() for item in part.values()]
    found = [(names[pair.first], names[pair.second]) for pair in find_twins(prints)]
    # The only pair: a bottle mirrored and cut, with the same specks on the wall behind it.
    twins = ("train/plastic118_jpg.jpg", "train/plastic137_jpg.jpg")
    assert [sorted(name for _, name in pair) for pair in found] == [list(twins)]


@pytest.mark.photos
def test_find_twins__copies_planted_among_real_photos(real, photos):
    prints = [item for part in real.values() for item in part.values()]
    copies = []
    places = range(0, 123, 6)
    for number, name in enumerate(list(real["train"])[::6]):
        image = crop(read_photo(photos / "recycle_trash" / name), 0.1, 0.05, 0.0, 0.1)
        image = turn(resize(image, 0.5 if number % 2 else 1.7), TURNS[number % 7])
        copies.append(fingerprint_photo(encode(brighten(image), 50)))
    found = [(pair.first, pair.second) for pair in find_twins(prints, copies)]
    assert found == list(zip(places, range(len(copies)), strict=True))
