"""Parity: what is counted, and which bound a file misses."""

import json

import numpy as np
import pytest

from bunri.exporting.parity import Variant, measure_parity

TRUTH = np.zeros((10, 10), np.uint8)
TRUTH[:5] = 1
IMAGE = np.zeros((10, 10, 3), np.uint8)


def spoil(count):
    """Return a way to predict that is wrong at ``count`` of 100 pixels."""

    def predict(image):
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[: len(mask) // 2] = 1
        mask.reshape(-1)[:count] = 0
        return mask

    return predict


def measure(*variants, truth=TRUTH, images=(IMAGE,)):
    variants = (Variant("torch", "f32", spoil(0), is_shipped=False), *variants)
    return measure_parity(variants, [(i, truth) for i in images], 2, "val.json", lambda: None)


def test_parity__counts_pixels_and_scores():
    report = measure(Variant("Engine", "f32", spoil(10)), images=(IMAGE, IMAGE))
    first, second = report.rows
    assert (report.num_photos, first.equal, first.miou) == (2, 1.0, 1.0)
    assert second.equal == pytest.approx(0.9)
    assert second.miou == pytest.approx((40 / 50 + 50 / 60) / 2)
    assert "| Engine | f32 | 90.000 % | 0.8167 |" in report.to_markdown()
    assert json.loads(json.dumps(report.to_json()))["rows"][1]["equal_pixels"] == 0.9


@pytest.mark.parametrize(
    ("precision", "count", "truth", "fault"),
    [
        ("f32", 0, TRUTH, ""),
        ("f32", 1, TRUTH, "99.000 % of pixels have torch's class, at least 99.9 % must"),
        ("int8", 0, TRUTH, ""),
        ("int8", 1, TRUTH, "points lost, 0.5 are allowed"),
        ("int8", 3, None, ""),
        ("int8", 4, None, "96.000 % of pixels have torch's class, at least 97 % must"),
        ("bf16", 50, TRUTH, "50.000 %"),
    ],
)
def test_parity__says_which_bound_is_missed(precision, count, truth, fault):
    report = measure(Variant("Engine", precision, spoil(count)), truth=truth)
    assert len(report.faults) == bool(fault)
    assert all(part.startswith(f"Engine {precision}: ") and fault in part for part in report.faults)


def test_parity__binds_only_what_is_shipped():
    assert measure(Variant("Engine", "bf16", spoil(50), is_shipped=False)).faults == ()
