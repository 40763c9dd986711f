"""Augmentation of painted photos: mask and photo move together, with the set probabilities."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2

from bunri.core.errors import MissingExtraError
from bunri.training.config import AugmentConfig
from bunri.training.samples.augment import build_augmentation
from tests.training.painted import (
    EVERYTHING,
    SHAPES,
    change_nothing_but,
    classify,
    classify_by_hue,
    find_inside,
    paint,
)

SIZE_HW = (56, 72)
LIGHT = ("clahe", "blur", "jpeg", "noise", "shadow")
# What needs a second photo is the stream's; see test_mixing.
ALONE = {k: v for k, v in EVERYTHING.items() if k not in ("cutmix", "classmix", "paste")}


def apply(config, image, mask, seed=0, frame_px=64):
    augment = build_augmentation(config, frame_px)
    torch.manual_seed(seed)
    return augment(image, mask)


# -- together ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"crop_size_px": 64, "crop_area": (0.1, 0.6)},
        {"crop_size_px": 128, "crop_area": (0.5, 1.0), "crop_aspect": (0.3, 3.0)},
        {"hflip": 1.0},
        {"vflip": 1.0},
        {"hflip": 0.5, "vflip": 0.5, "crop_size_px": 64},
        {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02},
        {},
        {"quarter_turn": 1.0},
        {"quarter_turn": 1.0, "crop_size_px": 64},
        {"rotate": 1.0, "rotate_deg": 180.0},
        {"rotate": 1.0, "rotate_deg": 180.0, "crop_size_px": 128, "crop_aspect": (0.3, 3.0)},
        {"crop_object": 1.0, "crop_size_px": 64, "crop_area": (0.1, 0.3)},
        {"crop_object": 1.0, "rotate": 1.0, "crop_size_px": 64, "crop_area": (0.1, 0.3)},
        {"grid": 1.0},
        {"grid": 1.0, "crop_size_px": 128},
        {"elastic": 1.0},
        {"elastic": 1.0, "crop_size_px": 128},
        {"rotate": 1.0, "grid": 1.0, "elastic": 1.0, "quarter_turn": 0.5, "hflip": 0.5,
         "vflip": 0.5, "crop_object": 0.5, "crop_size_px": 128},
    ],
    ids=["crop", "crop-stretched", "hflip", "vflip", "crop-flips", "color", "whole",
         "quarter-turn", "crop-quarter-turn", "rotate", "crop-rotate", "crop-object",
         "crop-object-rotate", "grid", "crop-grid", "elastic", "crop-elastic", "all"],
)  # fmt: skip
def test_augmentation__mask_moves_with_the_photo(change):
    image, mask = paint(SIZE_HW)
    augment = build_augmentation(change_nothing_but(**change), 64)
    objects = 0
    for seed in range(12):
        torch.manual_seed(seed)
        changed, labels = augment(image, mask)
        assert changed.shape[:2] == labels.shape
        assert changed.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 5, 7, 255}
        inside = find_inside(labels) & (labels != 255)
        objects += int(np.count_nonzero(labels[inside]))
        assert np.array_equal(classify(changed)[inside], labels[inside])
    assert objects > 500  # not of background alone


@pytest.mark.parametrize("change", LIGHT)
def test_augmentation__light_changes_the_photo_where_it_stands(change):
    size_hw = (64, 64)
    image, mask = paint(size_hw)
    find = classify_by_hue if change in ("clahe", "shadow") else classify
    inside = find_inside(mask)
    for seed in range(12):
        changed, labels = apply(change_nothing_but(**{change: 1.0}), image, mask, seed)
        assert changed.dtype == np.uint8
        assert np.array_equal(labels, mask)
        assert not np.array_equal(changed, image)
        wrong = find(changed)[inside] != mask[inside]
        assert np.count_nonzero(wrong) <= 4  # JPEG lets colours of 8 x 8 blocks run


@pytest.mark.parametrize(("change", "axis"), [("hflip", 1), ("vflip", 0)])
def test_augmentation__flip_flips(change, axis):
    image, mask = paint((64, 64))
    changed, labels = apply(change_nothing_but(**{change: 1.0}), image, mask)
    assert np.array_equal(changed, np.flip(image, axis))
    assert np.array_equal(labels, np.flip(mask, axis))
    assert not np.array_equal(labels, mask)


def test_augmentation__quarter_turn_is_one_of_three():
    image, mask = paint((64, 64))
    turns = [np.rot90(mask, k).tobytes() for k in (1, 2, 3)]
    found = set()
    for seed in range(20):
        changed, labels = apply(change_nothing_but(quarter_turn=1.0), image, mask, seed)
        turn = turns.index(labels.tobytes()) + 1
        assert np.array_equal(changed, np.rot90(image, turn))
        found.add(turn)
    assert found == {1, 2, 3}


def test_augmentation__color_changes_the_photo_and_not_the_mask():
    image, mask = paint((64, 64))
    changed, labels = apply(change_nothing_but(brightness=0.5), image, mask)
    assert not np.array_equal(changed, image)
    assert np.array_equal(labels, mask)


def test_augmentation__input_is_not_changed():
    image, mask = paint(SIZE_HW)
    before = image.copy(), mask.copy()
    for array in (image, mask):
        array.flags.writeable = False  # as photos in the store may be
    for crop_size_px in (64, None):
        config = AugmentConfig.model_validate({**ALONE, "crop_size_px": crop_size_px})
        augment = build_augmentation(config, 64)
        for _ in range(3):
            augment(image, mask)
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


# -- off means off, on means on ------------------------------------------------------------


@pytest.mark.parametrize("change", [k for k in ALONE if ALONE[k] == 1.0 and k != "crop_object"])
@pytest.mark.parametrize("crop_size_px", [64, None])
def test_augmentation__changes_something_at_1_and_nothing_at_0(change, crop_size_px):
    image, mask = paint((64, 64))
    crop = {"crop_size_px": crop_size_px, "crop_area": (1.0, 1.0), "crop_aspect": (1.0, 1.0)}
    same, labels = apply(change_nothing_but(**crop, **{change: 0.0}), image, mask)
    assert np.array_equal(same, image)
    assert np.array_equal(labels, mask)
    for seed in range(5):
        changed, labels = apply(change_nothing_but(**crop, **{change: 1.0}), image, mask, seed)
        assert not np.array_equal(changed, image)
        assert np.array_equal(labels, mask) == (change in LIGHT)


@pytest.mark.parametrize("change", [k for k in ALONE if ALONE[k] == 1.0])
def test_augmentation__happens_as_often_as_set(change):
    """Of 60 at a half: 30, give or take 4 standard deviations of 3.9."""
    image, mask = paint((64, 64))
    crop = {"crop_size_px": 64, "crop_area": (0.02, 0.02)} if change == "crop_object" else {}
    plain = build_augmentation(change_nothing_but(**crop), 64)
    augment = build_augmentation(change_nothing_but(**crop, **{change: 0.5}), 64)
    count = 0
    for seed in range(60):
        torch.manual_seed(seed)
        expected = plain(image, mask)[0]
        torch.manual_seed(seed)
        count += not np.array_equal(augment(image, mask)[0], expected)
    assert 14 <= count <= 46


@pytest.mark.parametrize("size_hw", [(90, 70), (37, 200), (1, 1)])
def test_augmentation__what_is_off_draws_no_number(size_hw):
    """The defaults are torchvision's own transforms one after the other, number for number."""
    config = AugmentConfig()
    peer = v2.Compose(
        [
            v2.RandomResizedCrop(config.crop_size_px, config.crop_area, config.crop_aspect),
            v2.RandomHorizontalFlip(config.hflip),
            v2.RandomVerticalFlip(config.vflip),
            v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue),
        ]
    )
    image, mask = paint(size_hw)
    pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
    for seed in range(8):
        changed, labels = apply(config, image, mask, seed)
        after = torch.rand(1)
        torch.manual_seed(seed)
        expected = peer(pixels, tv_tensors.Mask(torch.from_numpy(mask)))
        assert torch.equal(torch.rand(1), after)
        assert np.array_equal(changed, expected[0].permute(1, 2, 0).numpy())
        assert np.array_equal(labels, expected[1].numpy())


# -- whatever the photo --------------------------------------------------------------------


@given(
    size_hw=st.one_of(
        st.sampled_from([(1, 1), (37, 200), (20, 2000), (2000, 20), (1, 300)]),
        st.tuples(st.integers(1, 80), st.integers(1, 80)),
    ),
    seed=st.integers(0, 2**32),
    crop_size_px=st.sampled_from([None, 64, 96]),
    ignored=st.booleans(),
)
@settings(max_examples=30)
def test_augmentation__everything_on_any_size(size_hw, seed, crop_size_px, ignored):
    image, mask = paint(size_hw)
    if ignored:
        mask[:] = 255
    config = AugmentConfig.model_validate({**ALONE, "crop_size_px": crop_size_px})
    changed, labels = apply(config, image, mask, seed)
    side = crop_size_px or 64
    assert changed.shape == (side, side, 3)
    assert labels.shape == (side, side)
    assert changed.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*np.unique(mask), 255}
    again = apply(config, image, mask, seed)
    assert np.array_equal(again[0], changed)
    assert np.array_equal(again[1], labels)


@pytest.mark.parametrize(
    ("size_hw", "content_hw"), [((30, 60), (64, 128)), ((60, 30), (128, 64)), ((9, 9), (128, 128))]
)
def test_augmentation__padding_of_whole_frames_is_ignored(size_hw, content_hw):
    image, mask = np.full((*size_hw, 3), 200, np.uint8), np.full(size_hw, 3, np.uint8)
    changed, labels = build_augmentation(change_nothing_but(), 128)(image, mask)
    height, width = content_hw
    expected = np.full((128, 128), 255)
    expected[:height, :width] = 3
    assert np.array_equal(labels, expected)
    assert (changed[:height, :width] == 200).all()
    assert not changed[labels == 255].any()


def test_augmentation__padding_stays_ignored_when_flipped():
    augment = build_augmentation(change_nothing_but(hflip=1.0), 64)
    _, labels = augment(np.zeros((64, 32, 3), np.uint8), np.zeros((64, 32), np.uint8))
    assert (labels[:, :32] == 255).all()
    assert not labels[:, 32:].any()


# -- single changes ------------------------------------------------------------------------


def test_shadow__only_darkens_a_part():
    image, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), np.uint8)
    for seed in range(10):
        changed, _ = apply(change_nothing_but(shadow=1.0), image, mask, seed)
        assert (changed == 200).any()
        assert 0.35 * 200 <= changed.min() <= 0.75 * 200 + 1
        assert (changed == changed[..., :1]).all()


def test_noise__is_of_each_value_and_about_zero():
    image, mask = np.full((64, 64, 3), 128, np.uint8), np.zeros((64, 64), np.uint8)
    for seed in range(10):
        changed = apply(change_nothing_but(noise=1.0), image, mask, seed)[0].astype(float)
        assert 1.5 < changed.std() < 13
        assert abs(changed.mean() - 128) < 1
        assert abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1]) < 0.1


def test_blur__softens_an_edge():
    image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    image[:, 32:] = 200
    changed, _ = apply(change_nothing_but(blur=1.0), image, mask)
    assert 0 < changed[32, 31, 0] < 100 < changed[32, 32, 0] < 200
    assert not changed[:, :24].any()


def test_clahe__raises_contrast_and_keeps_grey_grey():
    ramp = np.linspace(100, 130, 64).round().astype(np.uint8)
    image = np.repeat(np.tile(ramp, (64, 1))[..., None], 3, 2)
    changed, _ = apply(change_nothing_but(clahe=1.0), image, np.zeros((64, 64), np.uint8))
    assert np.ptp(changed) > 1.2 * np.ptp(image)
    assert np.ptp(changed.astype(int), axis=2).max() <= 2


def test_clahe__says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia.enhance", None)
    with pytest.raises(MissingExtraError, match=r"augment\.clahe") as e:
        build_augmentation(change_nothing_but(clahe=0.5), 64)
    assert "pip install" in str(e.value)
    build_augmentation(change_nothing_but(jpeg=0.5), 64)  # others do without


def test_shapes__are_of_two_classes():
    """The painted photo has the classes that the tests above rely on."""
    assert {s.class_index for s in SHAPES} == {5, 7}
