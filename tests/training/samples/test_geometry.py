"""Geometric augmentation, with results computed by hand."""

import numpy as np
import pytest
import torch

from bunri.training.samples import geometry
from bunri.training.samples.augment import build_augmentation
from bunri.training.samples.geometry import find_object_pixel, read_labels, read_pixels
from tests.training.painted import change_nothing_but, paint

WHOLE = {"crop_size_px": 64, "crop_area": (1.0, 1.0), "crop_aspect": (1.0, 1.0)}


def build_photo(height, width):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(1, 255, (3, height, width), np.uint8))


def build_points(height, width):
    """Return the centres of a photo's own pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((y, x))


def test_read__own_pixels_are_the_photo():
    image, points = build_photo(37, 50), build_points(37, 50)
    assert torch.equal(read_pixels(image, points, 1.0), image)
    assert torch.equal(read_labels(image[0], points), image[0])


def test_read__shifted_by_whole_pixels():
    """5 down and 3 to the left: pixels from outside are black and ignored."""
    image = build_photo(20, 30)
    points = build_points(20, 30) + torch.tensor([5.0, -3.0])[:, None, None]
    pixels, labels = read_pixels(image, points, 1.0), read_labels(image[0], points)
    assert torch.equal(pixels[:, :15, 3:], image[:, 5:, :27])
    assert torch.equal(labels[:15, 3:], image[0, 5:, :27])
    assert not pixels[:, 15:].any()
    assert not pixels[:, :, :3].any()
    assert (labels[15:] == 255).all()
    assert (labels[:, :3] == 255).all()


def test_read__between_two_pixels_is_their_mean():
    image = torch.tensor([[10, 20], [30, 60]], dtype=torch.uint8).expand(3, 2, 2)
    pixels = read_pixels(image, torch.tensor([[[1.0]], [[1.0]]]), 1.0)
    assert pixels.flatten().tolist() == [30, 30, 30]


def test_read__wholly_outside():
    points = build_points(8, 8) + 1000.0
    assert not read_pixels(build_photo(5, 6), points, 1.0).any()
    assert (read_labels(build_photo(5, 6)[0], points) == 255).all()


def test_read__fine_pattern_far_apart_becomes_grey():
    """Stripes one pixel wide, read at every fourth: without antialiasing all black or white."""
    image = torch.zeros(3, 128, 128, dtype=torch.uint8)
    image[:, :, ::2] = 200
    points = 4 * build_points(32, 32)
    pixels = read_pixels(image, points, 4.0)[:, 2:-2, 2:-2]
    assert (pixels.float() - 100).abs().max() <= 10


@pytest.mark.parametrize(("angle_deg", "turns"), [(90.0, 1), (180.0, 2), (-90.0, -1)])
@pytest.mark.parametrize("crop", [WHOLE, {}], ids=["crop", "whole"])
def test_rotate__right_angles_are_quarter_turns(monkeypatch, angle_deg, turns, crop):
    monkeypatch.setattr(geometry, "draw", lambda _low, _high: angle_deg)
    image, mask = paint((64, 64))
    augment = build_augmentation(change_nothing_but(**crop, rotate=1.0, rotate_deg=180.0), 64)
    changed, labels = augment(image, mask)
    # At 90 degrees, rounding puts an edge's points a hair outside.
    inner = slice(1, -1), slice(1, -1)
    assert np.array_equal(changed[inner], np.rot90(image, turns)[inner])
    assert np.array_equal(labels[inner], np.rot90(mask, turns)[inner])


def test_rotate__ignored_is_exactly_what_comes_from_outside():
    """Turned by 45 degrees, a square keeps an octagon of 2 (sqrt 2 - 1) = 83 % of its area."""
    image, mask = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64), 3, np.uint8)
    augment = build_augmentation(change_nothing_but(**WHOLE, rotate=1.0, rotate_deg=45.0), 64)
    shares = []
    for seed in range(40):
        torch.manual_seed(seed)
        changed, labels = augment(image, mask)
        assert set(np.unique(labels)) <= {3, 255}
        assert (changed[labels == 3] == 200).all()
        assert not changed[labels == 255].any()
        assert labels[32, 32] == 3
        shares.append(np.mean(labels == 255))
    assert max(shares) <= 0.18
    assert max(shares) > 0.12


def test_rotate__crop_inside_the_photo_has_nothing_from_outside():
    """A crop is turned within the photo: its corners show the photo around it."""
    image, mask = np.full((400, 400, 3), 200, np.uint8), np.full((400, 400), 3, np.uint8)
    config = change_nothing_but(crop_size_px=64, crop_area=(0.02, 0.02), rotate=1.0)
    augment = build_augmentation(config, 64)
    whole = 0
    for seed in range(20):
        torch.manual_seed(seed)
        whole += bool((augment(image, mask)[1] == 3).all())
    assert whole >= 14


@pytest.mark.parametrize("change", ["quarter_turn", "crop_object", "grid"])
def test_others__bring_nothing_from_outside(change):
    image, mask = np.full((90, 70, 3), 200, np.uint8), np.full((90, 70), 3, np.uint8)
    augment = build_augmentation(change_nothing_but(crop_size_px=64, **{change: 1.0}), 64)
    for seed in range(20):
        torch.manual_seed(seed)
        changed, labels = augment(image, mask)
        assert (labels == 3).all()
        assert (changed == 200).all()


def test_elastic__shifts_by_a_few_percent_and_neighbours_alike():
    """Colours that encode the position of a pixel show how far it was moved."""
    y, x = np.mgrid[0:128, 0:128]
    image = np.stack((y, x, y), -1).astype(np.uint8)
    augment = build_augmentation(change_nothing_but(elastic=1.0), 128)
    for seed in range(5):
        torch.manual_seed(seed)
        changed, labels = augment(image, np.zeros((128, 128), np.uint8))
        shift = np.where(labels == 0, changed[..., 0].astype(float) - y, 0.0)[8:-8, 8:-8]
        assert 1 <= np.abs(shift).max() <= 0.08 * 128
        assert np.abs(np.diff(shift, axis=0)).max() <= 2


def test_grid__keeps_order_and_edges():
    y, x = np.mgrid[0:128, 0:128]
    image = np.stack((y, x, y), -1).astype(np.uint8)
    augment = build_augmentation(change_nothing_but(grid=1.0), 128)
    for seed in range(5):
        torch.manual_seed(seed)
        changed, _ = augment(image, np.zeros((128, 128), np.uint8))
        row = changed[64, :, 1].astype(int)
        assert row[0] <= 1
        assert row[-1] >= 126
        assert (np.diff(row) >= 0).all()
        assert (changed[..., 1] == changed[:1, :, 1]).all()  # columns stay columns
        assert np.abs(row - np.arange(128)).max() >= 2


# -- crops that hold an object -------------------------------------------------------------


@pytest.mark.parametrize("rotate", [0.0, 1.0])
def test_crop_object__holds_the_object(rotate):
    """An object of 12 x 12 in 400 x 400, crops of 57 x 57: by chance 1 in 30 would hold it."""
    image, mask = np.zeros((400, 400, 3), np.uint8), np.zeros((400, 400), np.uint8)
    mask[310:322, 20:32] = 9
    small = {"crop_size_px": 64, "crop_area": (0.02, 0.02), "rotate": rotate}
    counts = []
    for chance in (0.0, 1.0):
        config = change_nothing_but(**small, crop_object=chance)
        augment = build_augmentation(config, 64)
        found = 0
        for seed in range(40):
            torch.manual_seed(seed)
            found += bool((augment(image, mask)[1] == 9).any())
        counts.append(found)
    assert counts[0] <= 8
    assert counts[1] == 40


def test_crop_object__places_differ():
    """Crops of 64 x 64, read as they are; a pixel can lie anywhere in them."""
    image, mask = np.zeros((200, 200, 3), np.uint8), np.zeros((200, 200), np.uint8)
    mask[100, 100] = 9
    config = change_nothing_but(
        crop_size_px=64, crop_area=(0.1024, 0.1024), crop_aspect=(1.0, 1.0), crop_object=1.0
    )
    augment = build_augmentation(config, 64)
    places = set()
    for seed in range(60):
        torch.manual_seed(seed)
        ((y, x),) = np.argwhere(augment(image, mask)[1] == 9).tolist()
        places.add((y // 16, x // 16))
    assert len(places) >= 12  # of 16


def test_find_object_pixel__draws_the_class_first():
    """A hundred times the pixels, and still a half each: 100 of 200, give or take 4 x 7."""
    mask = torch.zeros(100, 100, dtype=torch.uint8)
    mask[:50, :50] = 3
    mask[90:95, 90:95] = 10
    mask[60:70] = 255
    torch.manual_seed(0)
    found = [find_object_pixel(mask) for _ in range(200)]
    classes = [int(mask[place]) for place in found]
    assert set(classes) == {3, 10}
    assert 72 <= classes.count(10) <= 128
    assert len(set(found)) > 60


@pytest.mark.parametrize("value", [0, 255])
def test_find_object_pixel__none_to_find(value):
    assert find_object_pixel(torch.full((5, 7), value, dtype=torch.uint8)) is None
