"""Calibration against bins filled by hand and pixels counted one by one."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.scores.calibration import NUM_BINS, Calibration


def row(*values, dtype=np.uint8):
    return np.array([values], dtype)


def sure(*values):
    return row(*values, dtype=np.float32)


def test_add__by_hand():
    calibration = Calibration()
    # 0.5 and 0.51 share bin 7 (7/15 to 8/15), one of them right; 0.98 and 1 are in the last.
    calibration.add(row(1, 1, 2, 0), row(1, 0, 2, 0), sure(0.5, 0.51, 0.98, 1))
    assert calibration.pixels[[7, 14]].tolist() == [2, 2]
    assert calibration.right[[7, 14]].tolist() == [1, 2]
    assert calibration.pixels.sum() == 4
    expected = (abs(1 - 1.01) + abs(2 - 1.98)) / 4
    assert calibration.error == pytest.approx(expected, abs=1e-6)


def test_add__photos_add_up():
    one, parts = Calibration(), Calibration()
    truth, prediction, confidence = row(1, 1, 2, 0), row(1, 0, 2, 2), sure(0.5, 0.51, 0.98, 0.2)
    one.add(truth, prediction, confidence)
    for i in range(4):
        parts.add(truth[:, i : i + 1], prediction[:, i : i + 1], confidence[:, i : i + 1])
    assert parts.error == pytest.approx(one.error)
    assert (len(one.photos), len(parts.photos)) == (1, 4)


def test_add__ignored_pixels_do_not_count_whatever_their_confidence():
    calibration = Calibration()
    calibration.add(row(255, 1), row(0, 1), sure(math.nan, 0.8))
    assert calibration.pixels.sum() == 1
    assert calibration.error == pytest.approx(0.2, abs=1e-6)


def test_error__right_as_often_as_sure_is_0():
    calibration = Calibration()
    calibration.add(row(1, 1, 1, 1), row(1, 1, 1, 0), sure(0.75, 0.75, 0.75, 0.75))
    assert calibration.error == 0


def test_error__too_sure():
    calibration = Calibration()
    calibration.add(row(1, 1), row(0, 0), sure(1, 1))
    assert calibration.error == 1


def test_error__no_pixels_is_no_data():
    calibration = Calibration()
    calibration.add(row(255), row(0), sure(0.5))
    assert math.isnan(calibration.error)
    values = json.loads(json.dumps(calibration.to_json(), allow_nan=False))
    assert (values["ece"], values["num_photos"], values["num_pixels"]) == (None, 1, 0)


@given(st.integers(0, 2**32 - 1))
def test_error__equals_pixels_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 3, (2, 6, 7)).astype(np.uint8)
    truth[rng.random((6, 7)) < 0.2] = 255
    confidence = rng.random((6, 7)).astype(np.float32)
    calibration = Calibration()
    calibration.add(truth, prediction, confidence)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for t, p, c in zip(truth.flat, prediction.flat, confidence.flat, strict=True):
        if t != 255:
            bins.setdefault(int(c * NUM_BINS), []).append((float(c), bool(t == p)))
    num = sum(map(len, bins.values()))
    expected = sum(
        len(pixels) / num * abs(np.mean([r for _, r in pixels]) - np.mean([c for c, _ in pixels]))
        for pixels in bins.values()
    )
    assert calibration.error == pytest.approx(expected, abs=1e-6)


def test_to_json__reliability_curve():
    calibration = Calibration()
    calibration.add(row(1, 1, 2), row(1, 0, 2), sure(0.5, 0.5, 1))
    values = calibration.to_json()
    assert len(values["bins"]) == NUM_BINS
    assert values["bins"][7] == {
        "from": 7 / 15, "to": 8 / 15, "pixels": 2, "accuracy": 0.5, "confidence": 0.5,
    }  # fmt: skip
    assert values["bins"][0]["accuracy"] is None
    assert (values["num_photos"], values["num_pixels"]) == (1, 3)


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.5, math.inf, -math.inf])
def test_add__confidence_that_is_none(value):
    calibration = Calibration()
    with pytest.raises(InputError, match="a number from 0 to 1; found"):
        calibration.add(row(1, 1), row(1, 1), sure(0.5, value))
    assert calibration.photos == []
    assert calibration.pixels.sum() == 0


def test_add__a_little_above_1_by_rounding():
    calibration = Calibration()
    calibration.add(row(1), row(1), sure(1 + 1e-6))
    assert calibration.pixels[14] == 1


@pytest.mark.parametrize("spoiled", [0, 1, 2])
def test_add__sizes_differ(spoiled):
    arrays: list[Any] = [
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 4), np.uint8),
        np.ones((3, 4), np.float32),
    ]
    arrays[spoiled] = arrays[spoiled].T
    with pytest.raises(InputError, match="sizes differ"):
        Calibration().add(*arrays)
