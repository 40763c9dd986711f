"""Checks of images and masks."""

import numpy as np
import pytest

from bunri.core.contracts import check_image, check_mask
from bunri.core.errors import ImageError, InputError


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
    ("shape", "dtype", "hint"),
    [
        ((3, 8, 9), np.uint8, r"\(3, H, W\): use image.transpose\(1, 2, 0\)"),
        ((8, 9, 4), np.uint8, "alpha channel"),
        ((2, 8, 9, 3), np.uint8, "batch"),
        ((8, 9), np.uint8, "grey"),
        ((0, 9, 3), np.uint8, "no pixels"),
        ((8, 9, 3), np.float32, "astype"),
    ],
)
def test_check_image__names_the_way_out(shape, dtype, hint):
    with pytest.raises(ImageError, match=hint):
        check_image(np.zeros(shape, dtype))


def test_check_image__no_array():
    with pytest.raises(ImageError, match="numpy array, not list"):
        check_image([[1, 2, 3]])  # type: ignore[arg-type]
